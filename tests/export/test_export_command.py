"""`kband export` and `kband replay --format`: from the files that there are to those that others want."""

import numpy as np
import pytest
import torch

from kband_core.coils import root_sum_of_squares
from kband_core.fourier import to_image
from kband_core.metrics import nrmse
from pipelines.files.mrd_file import read_images, write_raw
from pipelines.simulation.simulated_protocol import Protocol
from pipelines.simulation.simulated_scan import simulate_scan
from pipelines.simulation.slab import Slab
from tests.command import kband

PROTOCOL = {"matrix": 48, "n_coils": 4, "n_slices": 1, "acs_lines": 16, "snr": 200.0}


def exported(tmp_path, protocol, form="npy"):
    """K-space of a simulated scan, and the images that it was made from."""
    xml, lines, reference = simulate_scan(protocol)
    write_raw(tmp_path / "scan.h5", xml, lines)
    result = kband("export", tmp_path / "scan.h5", "-o", tmp_path / "kspace", "--format", form)
    assert result.exit_code == 0, result.output
    assert result.output == f"{tmp_path}/scan.h5: {len(lines)} lines: {tmp_path}/kspace\n"
    return reference


def test_replay_writes_what_export_writes(raw, tmp_path):
    """The same pixels, whichever way they went."""
    assert kband("replay", raw, "-o", tmp_path / "images.h5").exit_code == 0
    assert kband("export", tmp_path / "images.h5", "-o", tmp_path / "exported", "--format", "npy").exit_code == 0
    assert kband("replay", raw, "--format", "npy", "-o", f"{tmp_path}/replayed/").exit_code == 0
    name = "series_1_simulated_head_SENSE.npy"
    exported, replayed = (np.load(tmp_path / folder / name) for folder in ("exported", "replayed/scan_sense"))
    np.testing.assert_array_equal(exported, replayed)
    np.testing.assert_array_equal(exported[0, 1], read_images(tmp_path / "images.h5")[1].data[0, 0])


def test_kspace_is_in_its_place(tmp_path):
    """Of a fully sampled scan one transform makes the image, with the centre in the middle."""
    (reference,) = exported(tmp_path, Protocol(**PROTOCOL, acceleration=1))
    kspace = torch.from_numpy(np.load(tmp_path / "kspace/kspace_slice0.npy"))
    assert kspace.shape == (4, 1, 48, 48)
    image = root_sum_of_squares(to_image(kspace[:, 0]))
    target = torch.from_numpy(np.abs(reference.data[0, 0]))
    scaled = image * (image * target).sum() / (image * image).sum()
    assert float(nrmse(scaled, target)) < 0.2  # root sum of squares has the coils' shading


def test_lines_that_were_not_acquired_are_zero(tmp_path):
    """As are no others."""
    exported(tmp_path, Protocol(**PROTOCOL, acceleration=3))
    kspace = np.load(tmp_path / "kspace/kspace_slice0.npy")
    acquired = np.flatnonzero(np.abs(kspace).any((0, 1, 3)))
    assert len(acquired) == 27  # 16 that calibrate, and each third of the others
    assert set(range(16, 32)) <= set(acquired)


def test_a_lattice_is_given_back_in_kspace(tmp_path):
    """However the buffers keep it."""
    slab = Slab(n_partitions=16, acceleration=2, caipi_shift=1)
    exported(tmp_path, Protocol(**PROTOCOL, acceleration=2, slab=slab))
    kspace = np.load(tmp_path / "kspace/kspace_slice0.npy")
    assert kspace.shape == (4, 16, 48, 48)
    strength = np.abs(kspace).sum((0, 3))
    assert np.unravel_index(strength.argmax(), strength.shape) == (8, 24)
    assert np.abs(kspace[:, 8, 24]).sum(0).argmax() == 24


def test_trajectories_go_with_their_samples(tmp_path):
    """In cycles per field of view, as BART has them; x first."""
    pytest.importorskip("finufft", reason="pip install kband[noncart]")
    exported(tmp_path, Protocol(**PROTOCOL, trajectory="radial", n_shots=20), "cfl")
    sizes = (tmp_path / "kspace/trajectory_slice0.hdr").read_text().split()[2:]
    assert sizes[:4] == ["3", "96", "20", "1"]
    coords = np.fromfile(tmp_path / "kspace/trajectory_slice0.cfl", np.complex64).reshape(20, 96, 3).real
    assert np.abs(np.linalg.norm(coords, axis=-1).max() - 24) < 0.3
    assert not coords[..., 2].any()


@pytest.mark.parametrize(("form", "name"), [("npy", "kspace_slice0.npy"), ("cfl", "kspace_slice0.hdr")])
def test_stacks_of_spokes_are_planes(tmp_path, form, name):
    """Partitions are told apart as in the chain; in BART's order they are slices."""
    pytest.importorskip("finufft", reason="pip install kband[noncart]")
    protocol = Protocol(**PROTOCOL, trajectory="stack", n_shots=20, slab=Slab(n_partitions=3))
    exported(tmp_path, protocol, form)
    written = tmp_path / "kspace" / name
    if form == "npy":
        assert np.load(written).shape == (3, 4, 20, 96)
    else:
        assert written.read_text().split()[2:] == ["1", "96", "20", "4", *["1"] * 9, "3", "1", "1"]


@pytest.mark.parametrize("form", ["dicom", "nifti"])
def test_raw_lines_are_no_images(raw, tmp_path, form):
    """What to do instead is said."""
    result = kband("export", raw, "-o", tmp_path / "out", "--format", form)
    assert result.exit_code == 1
    assert result.output == (
        f"Error: {raw}: raw lines are no {form} images; reconstruct them first with kband replay, or export their "
        "k-space as npy or cfl\n"
    )


def test_a_folder_is_not_named_like_a_file(raw, tmp_path):
    """It would look like one that is damaged."""
    result = kband("replay", raw, "-o", tmp_path / "images.h5", "--format", "npy")
    assert result.exit_code == 1
    assert f"{tmp_path}/images.h5: npy images are a folder; give it a name without .h5" in result.output


def test_a_damaged_end_is_told(raw, tmp_path):
    """What came before is written, and the exit code says that it is not all."""
    whole = raw.read_bytes()
    (tmp_path / "cut.h5").write_bytes(whole[: len(whole) * 3 // 4])
    result = kband("export", tmp_path / "cut.h5", "-o", tmp_path / "out", "--format", "npy")
    assert result.exit_code == 1
    assert "cut.h5: " in result.output
    assert result.output.count("\n") == 1
