"""Python in three lines gives what the command gives, from files and from arrays."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from gadgets.errors import PipelineError
from kband_core.fourier import to_image
from pipelines.api import load, reconstruct
from pipelines.files.mrd_file import read_images, write_raw
from pipelines.simulation.simulated_protocol import Protocol
from pipelines.simulation.simulated_scan import simulate_scan
from tests.command import kband


@pytest.fixture
def loaded(raw):
    return load(raw, maps=True)


@pytest.mark.parametrize("pipeline", ["sense", "auto"])
def test_pixels_are_those_of_a_replay(raw, tmp_path, pipeline):
    """One chain, two doors."""
    assert kband("replay", raw, "-p", pipeline, "-o", tmp_path / "images.h5").exit_code == 0
    replayed = sorted(read_images(tmp_path / "images.h5"), key=lambda image: image.slice)
    made = reconstruct(raw, pipeline)
    assert np.array_equal(made.pixels, [image.data[0, 0] for image in replayed])
    assert [meta["kband_method"] for meta in made.meta] == [image.meta["kband_method"] for image in replayed]


def test_a_file_is_loaded_as_a_reconstruction_gets_it(loaded):
    """R=2 of 64 rows with 20 calibration lines: 42 lines, the others zero; slices in order."""
    assert (loaded.kspace.shape, loaded.mask.shape) == ((2, 4, 64, 64), (2, 64, 1))
    assert (loaded.acs.shape, loaded.csm.shape) == ((2, 4, 20, 64), (2, 1, 4, 64, 64))
    assert loaded.mask.sum((1, 2)).tolist() == [42, 42]
    assert not (loaded.kspace * ~loaded.mask[:, None]).any()
    assert [counters["slice"] for counters in loaded.counters] == [0, 1]


def test_maps_are_made_on_request(raw, loaded):
    """They take the longest."""
    assert load(raw).csm is None
    assert np.array_equal(load(raw).kspace, loaded.kspace)


def test_partitions_are_in_kspace(tmp_path):
    """Whether partitions are left out, and x is apart inside the chain, or not: what was not measured is zero."""
    for acceleration, name in ((1, "all"), (2, "few")):
        options = ["--partitions", 16, "--acceleration", 2, "--partition-acceleration", acceleration]
        kband("simulate", *options, "--matrix", 32, "--acs-lines", 12, "--snr", 400, "-o", tmp_path / f"{name}.h5")
    scans = [load(tmp_path / f"{name}.h5", "sense") for name in ("all", "few")]
    assert [scan.kspace.shape[2:] for scan in scans] == [(16, 32, 32)] * 2
    assert [scan.mask.shape for scan in scans] == [(1, 1, 32, 1), (1, 16, 32, 1)]
    for scan in scans:
        outside = np.linalg.norm(scan.kspace * ~scan.mask[:, None])
        assert outside < 1e-5 * np.linalg.norm(scan.kspace)


def test_trajectories_come_with_their_samples(tmp_path):
    """(shot, sample) instead of (ky, kx), and no mask."""
    pytest.importorskip("finufft")
    kband("simulate", "--trajectory", "radial", "--matrix", 48, "--shots", 40, "--slices", 1, "-o", tmp_path / "s.h5")
    scan = load(tmp_path / "s.h5")
    assert scan.mask is None
    assert scan.trajectory.shape == (*scan.kspace.shape[:1], *scan.kspace.shape[2:], 2)


@pytest.mark.parametrize("pipeline", ["sense", "kband"])
def test_arrays_are_reconstructed_as_their_scan_is(raw, loaded, pipeline):
    """The same lines by another road. Noise is told by other lines, which scales each slice (networks: 2 %)."""
    by_file, by_arrays = reconstruct(raw, pipeline), reconstruct(loaded.kspace, pipeline)
    for file, arrays in zip(np.abs(by_file.images), np.abs(by_arrays.images), strict=True):
        factor = (file * arrays).sum() / np.square(arrays).sum()
        assert np.linalg.norm(factor * arrays - file) < 0.02 * np.linalg.norm(file)
    assert [meta["kband_lines"] for meta in by_arrays.meta] == [meta["kband_lines"] for meta in by_file.meta]


@pytest.mark.parametrize("batch", [(), (2,), (2, 1)])
@pytest.mark.parametrize("convert", [np.asarray, torch.from_numpy], ids=["numpy", "torch"])
def test_leading_axes_are_kept(loaded, batch, convert):
    """None, one or several; each image is calibrated by itself."""
    kspace = loaded.kspace[0] if not batch else loaded.kspace.reshape(*batch, *loaded.kspace.shape[1:])
    made = reconstruct(convert(kspace), "grappa")
    assert made.images.shape == (*batch, 64, 64)
    assert made.pixels.shape == (*batch, 64, 64)
    assert len(made.meta) == max(len(loaded.kspace) if batch else 1, 1)


def test_a_full_array_is_its_own_inverse_transform():
    """No line is left out: the image is the coils' own, combined; one coil is its magnitude (noise: 1e-3)."""
    _, lines, _ = simulate_scan(Protocol(matrix=64, n_coils=1, n_slices=1, acceleration=1, snr=1000.0,
                                              noise_scan=False, oversampling=1))  # fmt: skip
    kspace = np.stack([line.data for line in lines], 1)
    expected = to_image(torch.from_numpy(kspace))[0].abs().numpy()
    found = np.abs(reconstruct(kspace, "sense").images)
    factor = (found * expected).sum() / np.square(found).sum()
    assert np.linalg.norm(factor * found - expected) < 1e-3 * np.linalg.norm(expected)


def test_a_mask_leaves_lines_out(loaded):
    """What it does not name is not looked at, whatever stands there."""
    kspace = loaded.kspace[0] + np.where(loaded.mask[0], 0, 1e3).astype(np.complex64)
    masked, plain = reconstruct(kspace, "sense", mask=loaded.mask[0]), reconstruct(loaded.kspace[0], "sense")
    assert np.array_equal(masked.images, plain.images)


def test_a_property_goes_to_the_gadget_that_has_it(raw):
    """With its gadget's name in front where several have it, and a sentence without."""
    assert not np.array_equal(reconstruct(raw, "sense", n_iterations=1).pixels, reconstruct(raw, "sense").pixels)
    reconstruct(raw, "sense", **{"CoilSensitivities.acs_lines": 16})
    with pytest.raises(PipelineError, match=r"^property 'acs_lines': AcquisitionBuffer and CoilSensitivities have it"):
        reconstruct(raw, "sense", acs_lines=16)
    with pytest.raises(PipelineError, match=r"^property 'iterations': no gadget has it"):
        reconstruct(raw, "sense", iterations=16)


def test_a_map_is_in_its_unit(raw):
    """g is 1 where undersampling costs nothing, and at R=2 with four coils nowhere above 5 in the head."""
    made = reconstruct(raw, "raki")
    assert made.maps["g-factor"].shape == made.images.shape
    in_head = made.maps["g-factor"][np.abs(made.images) > 0.2 * np.abs(made.images).max()]
    assert 0.9 < np.median(in_head) < 5


def test_a_fallback_is_a_warning(tmp_path):
    """An image that is not what was asked for must not pass in silence."""
    header, lines, _ = simulate_scan(Protocol(matrix=64, n_coils=4, n_slices=1, acceleration=2, calibration="none"))
    write_raw(tmp_path / "scan.h5", header, lines)
    with pytest.warns(UserWarning, match=r"^scan\.h5: 1 of 1 image made by a fallback"):
        made = reconstruct(tmp_path / "scan.h5", "sense")
    assert made.meta[0]["kband_fallback"] != "no"


WRONG = {
    "axes": (np.zeros((8, 8), np.complex64), None, r"kspace is complex64 of shape \(8, 8\), complex of \(\.\.\., coil"),
    "real": (np.ones((2, 8, 8)), None, "kspace is float64 of shape"),
    "nothing": (np.zeros((2, 8, 8), np.complex64), None, "kspace: image 0 has no measured line"),
    "not finite": (np.full((2, 8, 8), np.nan, np.complex64), None, "kspace: 128 of 128 samples are NaN or infinite"),
    "ky": (np.ones((2, 8, 8), np.complex64), np.ones((7, 1), bool), "mask has 7 along ky, but kspace has 8"),
    "kx": (np.ones((2, 8, 8), np.complex64), np.ones((8, 5), bool), "mask has 5 along kx, but kspace has 8"),
    "parts": (np.ones((2, 8, 8), np.complex64), np.eye(8, dtype=bool), "mask: parts of lines are measured along kx"),
    "images": (
        np.ones((3, 2, 8, 8), np.complex64),
        np.ones((2, 8, 1), bool),
        r"mask has \(2,\) images, but kspace has",
    ),
}


@pytest.mark.parametrize(("kspace", "mask", "sentence"), WRONG.values(), ids=WRONG.keys())
def test_an_array_that_cannot_be_a_scan_is_refused_by_its_axis(kspace, mask, sentence):
    """One sentence that says which axis of which array."""
    with pytest.raises(ValueError, match=f"^{sentence}"):
        reconstruct(kspace, "sense", mask=mask)


@pytest.mark.parametrize(("before", "warns"), [("", False), ("import torch; ", True)])
def test_threads_sleep_or_it_is_said(before, warns, monkeypatch):
    """Torch reads the policy when it is loaded, and only then."""
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    code = f"{before}import pipelines.api, os; print(os.environ['OMP_WAIT_POLICY'])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "passive\n"
    assert ("torch was imported before pipelines.api" in result.stderr) == warns
