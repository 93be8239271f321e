"""Files of public data sets are scans: their lines, no padding, through the same gadgets as a scanner's."""

import h5py
import numpy as np
import pytest
import torch

from gadgets.scan import Scan
from kband_core.fourier import to_image, to_kspace
from pipelines.api import load, reconstruct
from pipelines.files.mrd_file import read_images
from pipelines.files.mrd_stream import open_raw
from pipelines.planes.plane_source import open_planes
from tests.command import kband
from tests.pipelines.dataset_files import COLUMNS, HEADER, ROWS, SPOT, write_fastmri, write_m4raw, write_skm_tea

INVALID = HEADER.replace(b"<encoding>", b"<acquisitionType>2D</acquisitionType><encoding>")


def lines_of(path):
    with open_raw(path) as raw:
        return list(raw)


def images_of(path, *options):
    """What `kband replay` writes, and its exit code."""
    result = kband("replay", path, "-o", path.with_suffix(".images.h5"), *options)
    return read_images(path.with_suffix(".images.h5")), result


def distance(image, reference) -> float:
    """In parts of the reference, at the scale that fits best: units are those of the noise."""
    image = image * (np.vdot(image, reference) / np.vdot(image, image))
    return float(np.linalg.norm(image - reference) / np.linalg.norm(reference))


@pytest.fixture(params=["fastmri", "padded", "m4raw"])
def slices(request, tmp_path):
    """A file of slices, fully sampled."""
    if request.param == "m4raw":
        write_m4raw(tmp_path / "2022061003_T203.h5", header=INVALID)
        return tmp_path / "2022061003_T203.h5"
    write_fastmri(tmp_path / "file.h5", acquired=slice(3, 38) if request.param == "padded" else slice(None))
    return tmp_path / "file.h5"


def test_lines_are_the_published_k_space(slices):
    """Every column that was acquired comes once, at its place, as it is in the file; of padding nothing comes."""
    kspace = h5py.File(slices)["kspace"][()]
    again = np.zeros_like(kspace)
    centre = {35: 17}.get(len(lines_of(slices)) // len(kspace), COLUMNS // 2)  # line of the k-space centre
    for line in lines_of(slices):
        again[line.idx.slice, :, :, line.idx.kspace_encode_step_1 + COLUMNS // 2 - centre] = line.data
        assert line.data.any()
    assert np.array_equal(again, kspace)


def test_replay_equals_direct_reconstruction(slices):
    """K-space is that of planes which are prepared directly, the image that of its coils: single precision, 1e-5."""
    with open_planes(slices, middle=1) as source:
        plane = next(iter(source.planes))
    loaded = load(slices, "sense", maps=True)
    kspace, csm = loaded.kspace[plane.slice], loaded.csm[plane.slice, 0]
    assert np.linalg.norm(kspace - plane.kspace.numpy()) < 1e-5 * np.linalg.norm(kspace)
    assert np.array_equal(loaded.mask[plane.slice], plane.mask.numpy())
    direct = (csm.conj() * to_image(torch.from_numpy(kspace)).numpy()).sum(0)
    assert np.unravel_index(np.abs(direct).argmax(), direct.shape) == SPOT[::-1]
    if loaded.mask.all():  # else SENSE fills the padding as far as coils tell
        assert distance(reconstruct(slices, "sense").images[plane.slice].squeeze(), direct) < 1e-5


def test_skm_tea_is_a_volume_of_its_true_grid(tmp_path):
    """Lines along x, transformed back: with kz, ky, x put together they are the published k-space, cropped (1e-5)."""
    write_skm_tea(tmp_path / "MTR_005.h5", n_x=8)
    stored = torch.from_numpy(h5py.File(tmp_path / "MTR_005.h5")["kspace"][()])  # x, ky, kz, echo, coil
    again = torch.zeros(2, 4, 36, 40, 8, dtype=torch.complex64)  # echo, coil, kz, ky, kx
    lines = lines_of(tmp_path / "MTR_005.h5")
    for line in lines:
        again[line.idx.contrast, :, line.idx.kspace_encode_step_2, line.idx.kspace_encode_step_1] = torch.from_numpy(
            line.data
        )
    direct = to_kspace(stored[:, 4:44, 2:38].permute(3, 4, 2, 1, 0).contiguous(), (-1,))
    assert len(lines) == 2 * 36 * 40
    assert torch.linalg.vector_norm(again - direct) < 1e-5 * torch.linalg.vector_norm(direct)


def test_lines_that_nobody_measured_are_said(tmp_path):
    """No image of SKM-TEA may pass for one of a fully sampled scan. Corners beyond an ellipse are not missing."""
    write_skm_tea(tmp_path / "MTR_005.h5", n_x=8)
    with h5py.File(tmp_path / "MTR_005.h5", "a") as file:
        kz, ky = np.meshgrid(np.arange(COLUMNS) - COLUMNS // 2, np.arange(ROWS) - ROWS // 2)
        inside = (ky / 20.5) ** 2 + (kz / 18.5) ** 2 <= 1
        file["kspace"][...] = file["kspace"][...] * inside[:, :, None, None]
    images, result = images_of(tmp_path / "MTR_005.h5")
    assert result.exit_code == 0, result.output
    assert [image.contrast for image in images] == [0, 1]
    assert len(lines_of(tmp_path / "MTR_005.h5")) == 2 * inside[4:44, 2:38].sum()
    for image in images:
        assert "filled in by the vendor's parallel imaging" in image.meta["kband_source"]
        assert "pixels are taken for 1 mm" in image.meta["ImageComments"]
        assert image.meta["kband_complete"] == "yes"


def test_a_repetition_of_m4raw_is_one(tmp_path):
    """By its file's name; the field of view is that of a header that no schema accepts."""
    write_m4raw(tmp_path / "2022061003_T203.h5", header=INVALID)
    with open_raw(tmp_path / "2022061003_T203.h5") as raw:
        (encoding,) = Scan.from_xml(raw.header_xml).encodings
        assert {line.idx.repetition for line in raw} == {2}
    assert (encoding.recon_fov, encoding.source) == ((280, 140, 4.5), None)
    assert len(encoding.counters["repetition"]) == 1


@pytest.mark.parametrize("equispaced", [True, False])
def test_a_test_file_of_fastmri_has_its_own_mask(equispaced, tmp_path):
    """What was left out is not padding: the image is SENSE's, and complete as far as anybody can tell."""
    mask = np.zeros(COLUMNS, bool)
    mask[np.arange(0, COLUMNS, 4) if equispaced else [1, 4, 9, 11, 28, 30, 35, 38]] = mask[14:26] = True
    write_fastmri(tmp_path / "test.h5", mask=mask)
    images, result = images_of(tmp_path / "test.h5")
    assert result.exit_code == 0, result.output
    assert {image.meta["kband_method"] for image in images} == {"SENSE"}
    assert float(images[0].meta["kband_acceleration"]) == pytest.approx(COLUMNS / mask.sum(), abs=0.01)
    assert len(lines_of(tmp_path / "test.h5")) == 3 * mask.sum()


def test_evaluate_takes_them(tmp_path):
    """R counts lines, not padding: 35 of 40 columns, of which every second stays, and 12 in the centre."""
    write_fastmri(tmp_path / "padded.h5", acquired=slice(3, 38))
    options = ("--acceleration", 2, "--acs", 12, "--sampling", "equispaced", "-o", tmp_path / "figures.csv")
    result = kband("evaluate", "simulated_small", tmp_path / "padded.h5", *options)
    assert result.exit_code == 0, result.output
    rows = (tmp_path / "figures.csv").read_text().splitlines()
    assert float(rows[1].split(",")[6]) == pytest.approx(35 / 23.5, abs=0.04)  # 17 or 18 of the grid, 6 between them


def test_evaluate_refuses_what_is_undersampled(tmp_path):
    """There is nothing to compare with."""
    mask = np.zeros(COLUMNS, bool)
    mask[::4] = mask[14:26] = True
    write_fastmri(tmp_path / "test.h5", mask=mask)
    result = kband("evaluate", "simulated_small", tmp_path / "test.h5")
    assert result.exit_code == 1
    assert result.stderr == f"Error: {tmp_path}/test.h5: the scan is 4-fold accelerated already; a full one needed\n"


def without_header(file):
    del file["ismrmrd_header"], file["reconstruction_rss"]


def source_is_missing(file):
    layout = h5py.VirtualLayout(file["kspace"].shape, np.complex64)
    layout[...] = h5py.VirtualSource("gone.h5", "kspace", file["kspace"].shape)
    del file["kspace"]
    file.create_virtual_dataset("kspace", layout)


def all_zeros(file):
    file["kspace"][...] = 0


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (without_header, "kspace is laid out like fastMRI's (slice, coil, readout, phase), but there is no ismrmrd"),
        (source_is_missing, "/kspace is a virtual data set; other files are not read"),
        (all_zeros, "kspace holds nothing but zeros, so no line was acquired"),
    ],
)
def test_what_a_file_lacks_is_one_sentence(spoil, sentence, tmp_path):
    """By replay and by prepare; a missing source is not "not acquired"."""
    write_fastmri(tmp_path / "file.h5")
    with h5py.File(tmp_path / "file.h5", "a") as file:
        spoil(file)
    for command in ("replay", "prepare"):
        result = kband(command, tmp_path / "file.h5", "-o", tmp_path / "made.h5")
        assert result.exit_code == 1
        if not (command == "prepare" and spoil is all_zeros):
            assert result.stderr.splitlines()[-1].startswith(f"Error: {tmp_path}/file.h5: {sentence}")
        assert not (tmp_path / "made.h5").exists()


def test_export_takes_them(tmp_path):
    """Every command that reads raw lines has the same reader."""
    write_fastmri(tmp_path / "file.h5")
    assert kband("export", tmp_path / "file.h5", "--format", "cfl", "-o", tmp_path / "cfl").exit_code == 0
