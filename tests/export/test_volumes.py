"""Images as volumes, for NIfTI, NumPy and BART: every voxel in its place, and what is wrong beside it."""

import json
import shutil
import subprocess

import numpy as np
import pytest

from gadgets.images.patient_affine import patient_affine
from gadgets.images.quantitative import OFFSET
from gadgets.mrd import ismrmrd
from pipelines.export.formats import image_sink
from pipelines.files.finished_file import FileProblem
from tests.export.scanned import FULL, image, slices

OBLIQUE = tuple(np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0].T)


def written(folder, images, form="npy"):
    with image_sink(folder, FULL, form, overwrite=True) as sink:
        for each in images:
            sink.append(each)
    return sorted(path.name for path in folder.iterdir())


def test_a_voxel_lies_where_its_pixel_does(tmp_path):
    """nibabel, which is not ours, places it in RAS, where x and y have the other sign."""
    nibabel = pytest.importorskip("nibabel", reason="pip install kband[export]")
    images = slices(3, directions=OBLIQUE)
    assert written(tmp_path / "out", images, "nifti") == [f"series_1_t1_tra_SENSE{end}" for end in (".json", ".nii.gz")]
    volume = nibabel.load(tmp_path / "out/series_1_t1_tra_SENSE.nii.gz")
    assert volume.shape == (12, 10, 3)
    for each in images:
        here = (patient_affine(each.getHead()) @ (4, 7, 0, 1))[:3] * (-1, -1, 1)
        x, y, z, _ = np.linalg.inv(volume.affine) @ (*here, 1)
        assert np.abs(np.subtract((x, y, z), (4, 7, each.slice))).max() < 1e-3
        assert volume.dataobj[4, 7, each.slice] == each.data[0, 0, 7, 4]


def test_slices_are_sorted_and_times_stacked(tmp_path):
    """As they lie, not as they came; whatever is repeated is a fourth axis."""
    images = [each for repetition in (1, 0) for each in slices(3, repetition=repetition)]
    for each in images:
        each.data[:] = 10 * each.repetition + each.slice
    written(tmp_path / "out", images)
    made = np.load(tmp_path / "out/series_1_t1_tra_SENSE.npy")
    np.testing.assert_array_equal(made[:, :, 0, 0], [[0, 1, 2], [10, 11, 12]])


@pytest.mark.parametrize(
    "images",
    [
        [*slices(3), image(slice=5, position=(0, 0, 90))],
        [image(slice=0), image(slice=1, position=(8, 0, 7))],
        [image(slice=0), image(slice=1, directions=OBLIQUE, position=(0, 0, 7))],
        [image(slice=0), image(slice=1)],
        [image(slice=0, directions=np.zeros((3, 3))), image(slice=1, directions=np.zeros((3, 3)))],
    ],
)
def test_slices_that_make_no_volume_stand_alone(tmp_path, images):
    """Uneven, sheared, turned, in one place, or nowhere: no affine is true of all of them."""
    names = written(tmp_path / "out", images)
    assert len([name for name in names if name.endswith(".npy")]) == len(images)


def test_what_images_say_stands_beside_them(tmp_path):
    """A fallback is never indistinguishable: neither by name nor by what is written of it."""
    bad = image(meta={"kband_complete": "no", "ImageComments": "SENSE; INCOMPLETE 3 of 4 lines"}, image_index=2)
    assert [name for name in written(tmp_path / "out", [image(), bad]) if "INCOMPLETE" in name]
    said = json.loads((tmp_path / "out/series_1_t1_tra_SENSE_INCOMPLETE.json").read_text())
    assert said["images (t, z)"][0][0]["ImageComments"] == "SENSE; INCOMPLETE 3 of 4 lines"
    np.testing.assert_allclose(
        said["affine, (x, y, z, 1) to mm in LPS"], patient_affine(bad.getHead()), rtol=0, atol=1e-9
    )


def test_maps_are_in_their_unit(tmp_path):
    """Nobody has to know how they were put into integers."""
    meta = {"kband_quantity": "g-factor", "RescaleSlope": "0.01", "RescaleIntercept": f"{-OFFSET / 100}"}
    written(tmp_path / "out", [image(np.full((1, 1, 10, 12), OFFSET + 150, np.uint16), meta=meta)])
    made = np.load(tmp_path / "out/series_1_t1_tra_SENSE.npy")
    assert made.dtype == np.float32
    np.testing.assert_allclose(made, 1.5, atol=1e-5)


def test_complex_pixels_stay_complex(tmp_path):
    """These formats have complex numbers."""
    pixels = (np.arange(120) * (1 + 2j)).reshape(1, 1, 10, 12).astype(np.complex64)
    (name, _) = written(tmp_path / "out", [image(pixels, image_type=ismrmrd.IMTYPE_COMPLEX)], "cfl")[:2]
    assert name == "series_1_t1_tra_SENSE_complex.cfl"
    np.testing.assert_array_equal(np.fromfile(tmp_path / "out" / name, np.complex64), pixels.ravel())


@pytest.mark.skipif(shutil.which("bart") is None, reason="Debian package bart")
def test_bart_reads_the_axes(tmp_path):
    """x, y, z and time stand where BART has them."""
    written(tmp_path / "out", [each for repetition in (0, 1) for each in slices(3, repetition=repetition)], "cfl")
    stem = tmp_path / "out/series_1_t1_tra_SENSE"
    shown = subprocess.run(["bart", "show", "-m", stem], capture_output=True, text=True, check=True).stdout
    assert "12 10 3 1 1 1 1 1 1 1 2" in " ".join(shown.split())


def test_no_images_no_folder(tmp_path):
    """As with an MRD file: it stands complete, or not at all."""
    with image_sink(tmp_path / "empty", FULL, "npy"):
        pass
    sink = image_sink(tmp_path / "failed", FULL, "npy").__enter__()
    sink.append(image())
    sink.__exit__(KeyError, KeyError(), None)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_not_replaced_unasked(tmp_path):
    """And never one that holds anything but what we write."""
    folder = tmp_path / "out"
    written(folder, [image()])
    with pytest.raises(FileProblem, match="exists already"):
        image_sink(folder, FULL, "npy").__enter__()
    (folder / "thesis.txt").write_text("years of work")
    with pytest.raises(FileProblem) as problem:
        written(folder, [image()])
    assert str(problem.value) == (
        f"{folder}: holds thesis.txt, which is none of our files; give the folder another name"
    )
    assert (folder / "thesis.txt").exists()


@pytest.mark.parametrize(("form", "needed"), [("dicom", "pydicom and highdicom"), ("nifti", "nibabel")])
def test_missing_packages_are_named(monkeypatch, tmp_path, form, needed):
    """They are an extra: who replays at a scanner needs none of them."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(FileProblem) as problem:
        image_sink(tmp_path / "out", FULL, form)
    assert str(problem.value) == f"{needed} missing, and {form} needs it: pip install kband[export]"
