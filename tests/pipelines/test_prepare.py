"""`kband prepare`: planes to train on, through the gadgets that serve the scanner."""

import copy
import hashlib

import numpy as np
import pytest
import torch

from gadgets import flags
from gadgets.errors import PipelineError
from kband_core.coils import combine
from kband_core.fourier import to_image
from kband_core.metrics import nrmse
from kband_core.training.dataset import PlaneFile
from pipelines.chain.pipeline import installed_xml
from pipelines.chain.xml import read_chain
from pipelines.files.mrd_file import write_raw
from pipelines.protocol.framing import Id
from pipelines.protocol.messages import text_message
from pipelines.protocol.request import Request
from pipelines.simulation.simulated_protocol import Protocol
from pipelines.simulation.simulated_scan import simulate_scan
from tests.command import kband

PATIENT = "<subjectInformation><patientName>Doe</patientName><patientID>{}</patientID></subjectInformation>"


@pytest.fixture(scope="module")
def full_scan() -> tuple:
    """A fully sampled scan: header, lines, reference images. 64², 4 coils, 3 slices, SNR 200."""
    return simulate_scan(Protocol(matrix=64, n_coils=4, n_slices=3, acceleration=1, snr=200.0))


@pytest.fixture
def full(tmp_path, full_scan):
    """Maker of that scan as a raw file, of a patient if an ID is given."""

    def make(name, patient=None, lines=None):
        header, root = full_scan[0], "<measurementInformation>"
        assert root in header
        if patient:
            header = header.replace(root, PATIENT.format(patient) + root)
        write_raw(tmp_path / name, header, full_scan[1] if lines is None else lines)
        return tmp_path / name

    return make


def prepare(tmp_path, *arguments):
    return kband("prepare", *arguments, "-o", tmp_path / "planes.h5")


@pytest.mark.parametrize("name", ["sense", "raki", "kband"])
def test_a_network_never_meets_another_preparation(name):
    """What stands before the reconstruction at the scanner is what makes the planes, properties included."""
    prepared, served = (
        {node.classname: node.properties for node in read_chain(installed_xml(pipeline)).nodes}
        for pipeline in ("prepare", name)
    )
    made_by = [gadget for gadget in prepared if gadget != "CollectPlanes"]
    assert list(served)[: len(made_by)] == made_by
    assert all(served[gadget] == prepared[gadget] for gadget in made_by)


def test_planes_show_what_was_scanned(tmp_path, full, full_scan):
    """Combined by its maps, a full plane is the reference image but for its unit, that of noise: within 3 % where there
    are maps, at SNR 200."""
    result = prepare(tmp_path, full("scan.h5"))
    assert result.exit_code == 0, result.output
    assert "scan.h5: 3 planes, subject scan, 64 × 64 of 4 coils, R 1.00; simulated_head\n" in result.output
    references = {image.slice: torch.from_numpy(image.data[0, 0]) for image in full_scan[2]}
    planes = PlaneFile(tmp_path / "planes.h5")
    assert sorted(plane.slice for plane in planes) == [0, 1, 2]
    for plane in planes:
        inside = plane.csm.abs().square().sum((0, 1)) > 0.5
        image = combine(to_image(plane.kspace), plane.csm)[0].abs()
        assert plane.mask.all()
        image, reference = image * inside, references[plane.slice] * inside
        assert nrmse(image * (image * reference).sum() / image.square().sum(), reference) < 0.03


def test_what_an_accelerated_scan_left_out_is_masked(tmp_path, raw):
    """R=2 with 20 calibration lines: 10 of 44 other lines are missing in 64."""
    result = prepare(tmp_path, raw)
    assert result.exit_code == 0, result.output
    plane = PlaneFile(tmp_path / "planes.h5")[0]
    assert plane.mask.sum() == 42
    assert not plane.kspace[:, ~plane.mask[:, 0]].any()


def test_subjects_by_patient_or_by_file(tmp_path, full, full_scan):
    """Two scans of one person must not end on both sides of the split; the ID itself is not written."""

    def brighter(factor):  # in one line, and another scan
        lines = copy.deepcopy(full_scan[1])
        lines[-1].data[:] *= factor
        return lines

    second, third = brighter(1.01), brighter(1.02)
    paths = [full("first.h5", "12345"), full("second.h5", "12345", second), full("third.h5", lines=third)]
    assert prepare(tmp_path, *paths).exit_code == 0
    planes = PlaneFile(tmp_path / "planes.h5")
    assert set(planes.subjects) == {hashlib.sha256(b"12345").hexdigest()[:12], "third"}
    assert b"12345" not in (tmp_path / "planes.h5").read_bytes()
    result = prepare(tmp_path, *paths, "--overwrite", "--subject-from", "file")
    assert result.exit_code == 0
    assert set(PlaneFile(tmp_path / "planes.h5").subjects) == {"first", "second", "third"}
    assert "planes.h5: 9 planes, 3 subjects, 64 × 64 of 4 coils, R 1.00, " in result.output


def test_one_subject_is_not_enough(tmp_path, full):
    """Better to hear it now than from the training."""
    assert "only 1 subject: training needs another one to validate on" in prepare(tmp_path, full("scan.h5")).output


def test_a_scan_that_fails_adds_no_plane(tmp_path, full, full_scan):
    """Its first slices were complete, but what ended the scan may have begun before."""
    broken = full("broken.h5", lines=full_scan[1][:-10])
    result = prepare(tmp_path, broken, full("scan.h5"))
    assert result.exit_code == 1
    assert f"Error: {broken}: CollectPlanes: slice 1 has 54 of 64 lines" in result.output
    assert PlaneFile(tmp_path / "planes.h5").subjects == ["scan"] * 3
    assert not list(tmp_path.glob(".*"))


def test_nothing_is_written_where_nothing_came(tmp_path, full, full_scan):
    """A file of planes holds planes."""
    assert prepare(tmp_path, full("broken.h5", lines=full_scan[1][:100])).exit_code == 1
    assert [path.name for path in tmp_path.iterdir()] == ["broken.h5"]


def test_a_file_of_planes_is_not_overwritten_unasked(tmp_path, full):
    """Hours of work may be in it, and none of it is lost if the new one fails."""
    raw = full("scan.h5")
    assert prepare(tmp_path, raw).exit_code == 0
    before = (tmp_path / "planes.h5").read_bytes()
    result = prepare(tmp_path, raw)
    assert result.exit_code == 1
    assert result.output.startswith(f"Error: {tmp_path / 'planes.h5'}: exists already; give another name")
    assert prepare(tmp_path, tmp_path / "absent.h5", "--overwrite").exit_code == 1
    assert (tmp_path / "planes.h5").read_bytes() == before
    assert prepare(tmp_path, raw, "--overwrite").exit_code == 0


def test_a_slice_of_noise_is_left_out(tmp_path, full, full_scan):
    """It has no maps: nothing could be learned from it, and as validation it would judge no network."""
    rng = np.random.default_rng(0)
    lines = copy.deepcopy(full_scan[1])
    for line in lines:
        if line.idx.slice == 1 and not flags.is_noise(line):
            line.data[:] = rng.standard_normal(line.data.shape) + 1j * rng.standard_normal(line.data.shape)
    result = prepare(tmp_path, full("scan.h5", lines=lines))
    assert result.exit_code == 0, result.output
    assert "scan.h5: 2 planes, subject scan" in result.output
    assert "; simulated_head; 1 of nothing but noise left out\n" in result.output
    assert [plane.slice for plane in PlaneFile(tmp_path / "planes.h5")] == [0, 2]


def test_the_acceleration_of_a_band_is_kept(tmp_path, full_scan):
    """Its weight depends on it."""
    band = "<userParameters>" + "".join(
        f"<userParameterDouble><name>{name}</name><value>{value}</value></userParameterDouble>"
        for name, value in (("band_angle", 30.0), ("band_acceleration", 2.5))
    )
    header, root = full_scan[0], "<userParameters>"
    header = header.replace(root, band) if root in header else header.replace(
        "</ismrmrdHeader>", f"{band}</userParameters></ismrmrdHeader>"
    )  # fmt: skip
    write_raw(tmp_path / "band.h5", header, full_scan[1])
    result = prepare(tmp_path, tmp_path / "band.h5")
    assert result.exit_code == 0, result.output
    assert {(plane.angle, plane.band_acceleration) for plane in PlaneFile(tmp_path / "planes.h5")} == {(30.0, 2.5)}


def test_the_middle_slices(tmp_path, full):
    """The ends of a volume show little."""
    assert prepare(tmp_path, full("scan.h5"), "--middle", 1).exit_code == 0
    assert [plane.slice for plane in PlaneFile(tmp_path / "planes.h5")] == [1]


def test_a_folder_that_is_not_there(tmp_path, full):
    """One sentence, no traceback."""
    result = kband("prepare", full("scan.h5"), "-o", tmp_path / "absent" / "planes.h5")
    assert result.exit_code == 1
    assert "planes.h5: cannot be written (" in result.output.splitlines()[-1]


def test_nobody_gets_planes_for_images(tmp_path, raw):
    """A scan without images and without an error would leave a radiographer waiting."""
    sentence = "CollectPlanes ends the chain and emits TrainingPlane, but "
    with pytest.raises(PipelineError, match=f"^{sentence}clients read only images$"):
        Request(text_message(Id.CONFIG_TEXT, "prepare")).xml()
    result = kband("replay", raw, "-p", "prepare", "-o", tmp_path / "images.h5")
    assert result.exit_code == 1
    assert f"Error: {sentence}an image file holds only images\n" in result.output


def test_a_raw_file_is_never_replaced_by_its_planes(full):
    """Whatever may be overwritten."""
    path = full("scan.h5")
    before = path.read_bytes()
    result = kband("prepare", path, "-o", path, "--overwrite")
    assert result.exit_code == 1
    assert "is a file to be read, and would be lost" in result.output
    assert path.read_bytes() == before
