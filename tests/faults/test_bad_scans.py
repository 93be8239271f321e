"""Bad files and broken scans: each ends in one clear sentence and a non-zero exit; images from less data say so."""

import copy

import h5py
import ismrmrd
import numpy as np
import pytest

from pipelines.files.mrd_file import read_images, write_raw
from tests.command import kband


def sentence(result) -> str:
    """The one line on standard error that states the problem."""
    lines = [line for line in result.output.splitlines() if line.startswith("Error: ")]
    assert len(lines) == 1, result.output
    return lines[0]


def replayed(path, tmp_path, pipeline="sense"):
    return kband("replay", path, "-p", pipeline, "-o", tmp_path / "images.h5")


def write(path, scan, lines):
    write_raw(path, scan[0], lines, reference=scan[2])
    return path


def changed(scan, number, change):
    """The lines of a scan, one of them changed."""
    lines = list(scan[1])
    lines[number] = change(copy.deepcopy(lines[number]))
    return lines


def test_file_that_is_not_there(tmp_path):
    """No file: named, and nothing is created in its place."""
    result = replayed(tmp_path / "none.h5", tmp_path)
    assert result.exit_code == 1
    assert sentence(result) == f"Error: {tmp_path}/none.h5: no such file"
    assert not list(tmp_path.iterdir())


def test_truncated_file(raw, tmp_path):
    """A copy that broke off: bytes there and expected."""
    whole = raw.read_bytes()
    (tmp_path / "cut.h5").write_bytes(whole[: len(whole) // 2])
    result = replayed(tmp_path / "cut.h5", tmp_path)
    assert result.exit_code == 1
    assert f"the file is cut off, {len(whole) // 2:,} of {len(whole):,} bytes" in sentence(result)
    assert not (tmp_path / "images.h5").exists()


def test_no_header(raw, tmp_path):
    """Lines without a header cannot be placed."""
    with h5py.File(raw, "r+") as file:
        del file["dataset/xml"]
    result = replayed(raw, tmp_path)
    assert result.exit_code == 1
    assert "has no MRD header (xml)" in sentence(result)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("<a>", "not a valid ismrmrdHeader document"),
        ('<!DOCTYPE x [<!ENTITY a "b">]><ismrmrdHeader>&a;</ismrmrdHeader>', "document types and entities"),
    ],
)
def test_header_that_is_not_one(scan, tmp_path, header, expected):
    """Broken or dangerous XML is refused before any line is read."""
    write_raw(tmp_path / "scan.h5", header, scan[1])
    result = replayed(tmp_path / "scan.h5", tmp_path)
    assert result.exit_code == 1
    assert expected in sentence(result)


def test_header_with_an_impossible_matrix(scan, tmp_path):
    """A length that no scanner has is refused before anything is allocated."""
    header = scan[0].replace("<y>64</y>", "<y>65000</y>")
    assert header != scan[0]
    write_raw(tmp_path / "scan.h5", header, scan[1])
    result = replayed(tmp_path / "scan.h5", tmp_path)
    assert result.exit_code == 1
    assert "encoded matrix is (128, 65000, 1), expected 1 to (8192, 4096, 2048)" in sentence(result)


def test_no_acquisitions(scan, tmp_path):
    """A header alone is no scan."""
    result = replayed(write(tmp_path / "empty.h5", scan, []), tmp_path)
    assert result.exit_code == 1
    assert "0 acquisitions, at least 1 expected" in sentence(result)


def test_noise_alone(scan, tmp_path):
    """A scan that was stopped after its noise readouts."""
    result = replayed(write(tmp_path / "noise.h5", scan, scan[1][:16]), tmp_path)
    assert result.exit_code == 1
    assert "no imaging lines arrived, so there is no image" in sentence(result)
    assert not (tmp_path / "images.h5").exists()


def test_coil_count_changes(scan, tmp_path):
    """A coil lost in mid-scan: line and counts are named."""
    def lose_a_coil(line):
        head = line.getHead()
        head.active_channels = head.available_channels = 3
        return ismrmrd.Acquisition(head, line.data[:3].copy())

    lines = changed(scan, 40, lose_a_coil)
    result = replayed(write(tmp_path / "scan.h5", scan, lines), tmp_path)
    assert result.exit_code == 1
    assert "line 40 has 3 coils, the noise scan had 4" in sentence(result)


def test_line_outside_the_limits(scan, tmp_path):
    """The line is set aside with its number; the image it is missing from says so."""

    def misplace(line):
        line.idx.kspace_encode_step_1 = 200
        return line

    result = replayed(write(tmp_path / "scan.h5", scan, changed(scan, 20, misplace)), tmp_path)
    assert result.exit_code == 1
    assert "1 line set aside: encoding step 1 is 200, outside the header's limits" in sentence(result)
    verdicts = {image.slice: image.meta["kband_complete"] for image in read_images(tmp_path / "images.h5")}
    assert verdicts == {0: "no", 1: "yes"}


def test_nan_samples(scan, tmp_path):
    """NaN in one line costs that line, not the image."""

    def spoil(line):
        line.data[1, 5] = np.nan
        return line

    result = replayed(write(tmp_path / "scan.h5", scan, changed(scan, 20, spoil)), tmp_path)
    assert result.exit_code == 1
    assert "1 line set aside: " in sentence(result)
    assert "samples are not finite numbers" in sentence(result)
    images = read_images(tmp_path / "images.h5")
    assert len(images) == 2
    assert all(np.isfinite(image.data).all() for image in images)
    assert images[-1].meta["ImageComments"].startswith("SENSE; INCOMPLETE ")


def test_hole_in_kspace(scan, tmp_path):
    """A line that never came: the image is made, marked, and the exit code is 1."""
    result = replayed(write(tmp_path / "scan.h5", scan, scan[1][:20] + scan[1][21:]), tmp_path)
    assert result.exit_code == 1
    assert "1 of 2 images incomplete (SENSE; INCOMPLETE 31 of 32 lines)" in sentence(result)


@pytest.mark.parametrize("pipeline", ["sense", "grappa", "sense_buffered", "grappa_buffered"])
def test_missing_calibration(scan, tmp_path, pipeline):
    """R=2 without calibration lines: a zero-filled image, marked as fallback, and exit code 1."""
    lines = [line for line in scan[1] if not line.flags & (1 << 19 | 1 << 20)]
    result = replayed(write(tmp_path / "scan.h5", scan, lines), tmp_path, pipeline)
    assert result.exit_code == 1
    assert "2 of 2 images made by a fallback, 2 of 2 images incomplete" in sentence(result)
    assert "calibration line" in sentence(result)
    for image in read_images(tmp_path / "images.h5"):
        assert image.image_series_index == 101
        assert image.meta["ImageComments"].startswith("FALLBACK zero-filled: ")


def test_missing_slice(scan, tmp_path):
    """A slice that never came is an error, even though all images that came are perfect."""
    lines = [line for line in scan[1] if line.idx.slice == 0]
    result = replayed(write(tmp_path / "scan.h5", scan, lines), tmp_path)
    assert result.exit_code == 1
    assert "1 of 2 images received lines; the first without any is slice 1" in sentence(result)
    assert len(read_images(tmp_path / "images.h5")) == 1


@pytest.mark.parametrize(("trajectory", "name"), [("radial", "radial"), ("spiral", "spiral")])
def test_other_trajectories(scan, tmp_path, trajectory, name):
    """Not supported yet: refused before the first line, by name."""
    header = scan[0].replace("cartesian", trajectory)
    write_raw(tmp_path / "scan.h5", header, scan[1])
    result = replayed(tmp_path / "scan.h5", tmp_path)
    assert result.exit_code == 1
    assert sentence(result).endswith(
        f"AcquisitionBuffer: encoding 0 has the trajectory {name}; only cartesian is supported"
    )
    assert not (tmp_path / "images.h5").exists()
