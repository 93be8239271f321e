"""Public data sets become planes: every axis where it belongs, every length bounded, what was not acquired masked."""

import shutil

import h5py
import numpy as np
import pytest
import torch

from kband_core.coils import root_sum_of_squares
from kband_core.fourier import to_image
from kband_core.training.dataset import PlaneFile
from pipelines.files.mrd_file import write_raw
from pipelines.simulation.simulated_protocol import Protocol
from pipelines.simulation.simulated_scan import simulate_scan
from tests.command import kband
from tests.pipelines.dataset_files import COLUMNS, HEADER, ROWS, SPOT, write_fastmri, write_m4raw, write_skm_tea


@pytest.fixture
def prepared(tmp_path):
    """Maker of planes from files."""

    def make(*paths, options=()):
        result = kband("prepare", *paths, "-o", tmp_path / "planes.h5", *options)
        assert result.exit_code == 0, result.output
        return PlaneFile(tmp_path / "planes.h5")

    return make


def refusal(path) -> str:
    """The sentence behind the file's name; no file of planes is left."""
    result = kband("prepare", path, "-o", path.with_name("planes.h5"))
    assert result.exit_code == 1
    assert not path.with_name("planes.h5").exists()
    line = result.stderr.splitlines()[-1]  # behind a bar, where the machine is slow
    return line.removeprefix(f"Error: {path}: ")


def rss(kspace: torch.Tensor) -> np.ndarray:
    return root_sum_of_squares(to_image(kspace)).numpy()


def peak(image: np.ndarray) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(image.argmax(), image.shape))


def test_a_volume_becomes_what_its_lines_become(tmp_path, prepared):
    """A network must not meet other coils or maps at the scanner: the same planes by both ways, bit for bit."""
    protocol = Protocol(matrix=48, n_coils=14, n_slices=2, acceleration=1, oversampling=1, noise_scan=False)
    header, lines, _ = simulate_scan(protocol)
    write_raw(tmp_path / "lines.h5", header, lines)
    kspace = np.empty((2, 14, 48, 48), np.complex64)  # slice, coil, readout, phase
    for line in lines:
        kspace[line.idx.slice, :, :, line.idx.kspace_encode_step_1] = line.data
    with h5py.File(tmp_path / "volume.h5", "w") as file:
        file.update(kspace=kspace, reconstruction_rss=np.zeros((2, 48, 48)), ismrmrd_header=b"")
    volumes = list(prepared(tmp_path / "volume.h5"))
    lines = list(prepared(tmp_path / "lines.h5", options=["--overwrite"]))
    assert [plane.slice for plane in volumes] == [plane.slice for plane in lines] == [0, 1]
    for volume, acquired in zip(volumes, lines, strict=True):
        assert all(torch.equal(getattr(volume, name), getattr(acquired, name)) for name in ("kspace", "mask", "csm"))


def test_copies_count_once(tmp_path, prepared):
    """A training would hold out what it has trained on, or see one scan three times: names do not matter."""
    write_m4raw(tmp_path / "head.h5")
    shutil.copy(tmp_path / "head.h5", tmp_path / "copy.h5")
    assert len(prepared(tmp_path / "head.h5", tmp_path / "copy.h5")) == 2


def test_fastmri(tmp_path, prepared):
    """The readout, published along rows, is the last axis here, and its oversampling is removed."""
    write_fastmri(tmp_path / "file1000001.h5")
    planes = prepared(tmp_path / "file1000001.h5")
    assert [plane.slice for plane in planes] == [0, 1, 2]
    assert (planes[0].protocol, len(set(planes.subjects))) == ("CORPD_FBK", 1)
    image = rss(planes[0].kspace)
    assert peak(image) == SPOT[::-1]
    published = h5py.File(tmp_path / "file1000001.h5")["reconstruction_rss"][0]
    image *= np.vdot(image, published.T) / np.vdot(image, image)  # planes come in units of their noise
    assert np.linalg.norm(image - published.T) < 1e-5 * np.linalg.norm(published)
    assert planes[0].mask.shape == (COLUMNS, 1)
    assert planes[0].mask.all()


def test_lines_of_zeros_were_not_acquired(tmp_path, prepared):
    """fastMRI pads the phase encoding with zeros, which are no measurement."""
    write_fastmri(tmp_path / "padded.h5", acquired=slice(3, 38))
    mask = prepared(tmp_path / "padded.h5")[0].mask[:, 0]
    assert torch.equal(mask, (torch.arange(COLUMNS) >= 3) & (torch.arange(COLUMNS) < 38))


def test_a_slice_of_noise_is_left_out(tmp_path, prepared):
    """The ends of a volume lie in air: no maps, so nothing to train on."""
    write_m4raw(tmp_path / "air.h5")
    with h5py.File(tmp_path / "air.h5", "a") as file:
        rng, shape = np.random.default_rng(0), file["kspace"].shape[1:]
        file["kspace"][1] = (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(np.complex64)
    assert [plane.slice for plane in prepared(tmp_path / "air.h5")] == [0]
    with h5py.File(tmp_path / "air.h5", "a") as file:
        file["kspace"][0] = file["kspace"][1]
    (tmp_path / "planes.h5").unlink()
    assert refusal(tmp_path / "air.h5") == "0 planes came of it: there is nothing but noise"


def test_a_test_file_of_fastmri_is_masked_where_it_is_zero(tmp_path, prepared):
    """Such a plane can still be trained on without a reference."""
    mask = np.zeros(COLUMNS, bool)
    mask[::4] = mask[14:26] = True
    write_fastmri(tmp_path / "test.h5", mask=mask)
    plane = prepared(tmp_path / "test.h5")[0]
    assert torch.equal(plane.mask[:, 0], torch.from_numpy(mask))
    assert not plane.acquired.is_gapless


def test_m4raw(tmp_path, prepared):
    """Each repetition is a file, all of one person; the header is not needed."""
    paths = [tmp_path / f"2022061003_T20{n}.h5" for n in (1, 2)]
    for path in paths:
        write_m4raw(path)
    planes = prepared(*paths)
    assert len(planes) == 4
    assert len(set(planes.subjects)) == 1
    assert planes[0].kspace.shape == (4, COLUMNS, ROWS)
    assert peak(rss(planes[0].kspace)) == SPOT[::-1]
    assert planes[2].source == "2022061003_T202.h5, contrast 0, repetition 1"


@pytest.mark.parametrize("other", ["T102", "FLAIR02", "GRE01"])
@pytest.mark.parametrize("patient", ["", "0d6a"])
def test_repetitions_of_m4raw_are_one_subject_by_name_too(patient, other, tmp_path, prepared):
    """If they were two, a network would be validated on the head it was trained on."""
    write_m4raw(tmp_path / "2022061003_T201.h5", patient=patient)
    write_m4raw(tmp_path / f"2022061003_{other}.h5", patient=patient)
    planes = prepared(*tmp_path.glob("2022*.h5"), options=["--subject-from", "file"])
    assert set(planes.subjects) == {"2022061003"}


def test_skm_tea(tmp_path, prepared):
    """Planes of ky, kz for each x and echo; what was padded was not acquired, and empty slices are left out."""
    write_skm_tea(tmp_path / "MTR_005.h5")
    planes = prepared(tmp_path / "MTR_005.h5")
    assert [plane.slice for plane in planes] == [1, 1, 2, 2, 3, 3]
    assert [plane.source[-24:] for plane in planes][:2] == [f"contrast {echo}, repetition 0" for echo in (0, 1)]
    assert set(planes.subjects) == {"MTR_005"}
    assert planes[0].kspace.shape == (4, ROWS, COLUMNS)
    assert peak(rss(planes[0].kspace)) == SPOT
    mask = torch.zeros(ROWS, COLUMNS, dtype=torch.bool)
    mask[4:44, 2:38] = True
    assert torch.equal(planes[0].mask, mask)


@pytest.mark.parametrize("write", [write_fastmri, write_m4raw, write_skm_tea])
def test_maps_explain_the_coil_images(write, tmp_path, prepared):
    """|Σ_c conj(S_c) I_c| is the root sum of squares where the object is: 2 % for maps from 24 lines."""
    write(tmp_path / "volume.h5")
    plane = prepared(tmp_path / "volume.h5")[0]
    image = to_image(plane.kspace)
    inside = plane.csm.abs().square().sum((0, 1)) > 0.5
    combined = (plane.csm[0].conj() * image).sum(0).abs()
    expected = root_sum_of_squares(image)
    assert inside.float().mean() > 0.2
    assert torch.linalg.vector_norm((combined - expected)[inside]) < 0.02 * torch.linalg.vector_norm(expected[inside])


def test_many_coils_are_compressed(tmp_path, prepared):
    """As at the scanner."""
    write_fastmri(tmp_path / "many.h5", n_coils=15)
    assert prepared(tmp_path / "many.h5")[0].kspace.shape[0] == 12


def test_the_middle_slices(tmp_path, prepared):
    """The ends of a volume are air."""
    write_skm_tea(tmp_path / "MTR_005.h5", n_x=7)
    planes = prepared(tmp_path / "MTR_005.h5", options=["--middle", "3"])
    assert {plane.slice for plane in planes} == {2, 3, 4}


def test_a_slice_without_its_centre_is_refused(tmp_path):
    """There is nothing to calibrate with."""
    mask = np.ones(COLUMNS, bool)
    mask[COLUMNS // 2] = False
    write_fastmri(tmp_path / "test.h5", mask=mask)
    sentence = "slice 0: the centre of k-space was not acquired, so no plane can be trained on"
    assert refusal(tmp_path / "test.h5") == sentence


@pytest.mark.parametrize(
    ("header", "sentence"),
    [
        (b"<ismrmrdHeader/>", "ismrmrd_header tells no field of view along the readout"),
        (b"<!DOCTYPE a [<!ENTITY e 'x'>]><a>&e;</a>", "ismrmrd_header tells no field of view along"),
        (HEADER.replace(b"<x>280</x>", b"<x>70</x>"), "the header measures 70 mm along the readout, but recons"),
        (HEADER.replace(b"<x>280</x>", b"<x>nan</x>"), "ismrmrd_header tells no field of view along the readout"),
        (HEADER.replace(b"<x>140</x>", b"<x>0</x>"), "the header measures 280 mm along the readout, but recons"),
    ],
)  # fmt: skip
def test_a_header_without_a_field_of_view_is_refused(header, sentence, tmp_path):
    """How much was oversampled is not guessed."""
    write_fastmri(tmp_path / "file.h5", header=header)
    assert refusal(tmp_path / "file.h5").startswith(sentence)


@pytest.mark.parametrize(
    ("shape", "dtype", "sentence"),
    [
        ((3, 48, 40), np.complex64, "kspace is (3, 48, 40), as in fastMRI's single-coil files (slice, readout,"),
        ((3, 4, 48, 40), np.float32, "kspace is float32, complex64 expected"),
        ((1, 1000, 8000, 8000), np.complex64, "kspace is (1, 1000, 8000, 8000); at most (65536, 1024, 8192, 8192)"),
        ((1, 2, 10**9, 10), np.complex64, "kspace is (1, 2, 1000000000, 10); at most (65536, 1024, 8192, 8192)"),
        ((1, 8000, 8000, 2, 64), np.complex64, "kspace is (1, 8000, 8000, 2, 64); at most "),
        ((1, 4, 0, 40), np.complex64, "kspace is (1, 4, 0, 40); at most "),
    ],
)  # fmt: skip
def test_lengths_are_bounded_before_anything_is_read(shape, dtype, sentence, tmp_path):
    """A file of 2 kB can announce terabytes."""
    with h5py.File(tmp_path / "huge.h5", "w") as file:
        file.create_dataset("kspace", shape, dtype, chunks=None if 0 in shape else (1,) * len(shape))
        file["ismrmrd_header"] = HEADER
    assert refusal(tmp_path / "huge.h5").startswith(sentence)


def test_nan_is_refused(tmp_path):
    """One NaN makes every weight of a network NaN."""
    write_m4raw(tmp_path / "nan.h5")
    with h5py.File(tmp_path / "nan.h5", "a") as file:
        file["kspace"][1, 0, 0, 0] = np.nan
    assert "NaN or infinite" in refusal(tmp_path / "nan.h5")


def test_a_volume_of_zeros_is_refused(tmp_path):
    """A file of planes without a plane serves nobody."""
    write_fastmri(tmp_path / "empty.h5", empty=(0, 1, 2))
    assert refusal(tmp_path / "empty.h5") == "0 planes came of it: there is nothing but zeros"


def test_other_files_are_refused(tmp_path):
    """One sentence, whatever it is."""
    (tmp_path / "text.h5").write_text("kspace")
    assert refusal(tmp_path / "text.h5") == "not an HDF5 file, so not an MRD file"
    with h5py.File(tmp_path / "images.h5", "w") as file:
        file["echo1"] = np.zeros((2, 2, 2))
    assert refusal(tmp_path / "images.h5") == "no group 'dataset'; groups are none"
