"""`kband prepare` and `kband train` of radial and spiral scans, through the gadgets that serve the scanner."""

import pytest
import torch

from gadgets.coils.coil_sensitivities import CoilSensitivities
from gadgets.receiving.trajectory_buffer import TrajectoryBuffer
from gadgets.scan import Scan
from kband_core.training.dataset import PlaneFile
from pipelines.chain.pipeline import Pipeline
from pipelines.chain.run import run
from pipelines.chain.verdict import Verdict
from pipelines.files.mrd_file import write_raw
from pipelines.simulation.simulated_protocol import Protocol
from pipelines.simulation.simulated_scan import simulate_scan
from tests.command import kband

pytest.importorskip("finufft")
N = 32

RECIPE = """
name: tiny
network: {name: modl, unrolls: 1, denoiser: multiscale, channels: 4, wide: 4, blocks: 1, cg_iterations: 3}
supervision: {name: sectors, spoke_acceleration: [2, 4], band_acceleration: 4}
optimiser: {learning_rate: 0.01, steps: 2, batch: 1}
validation: {every: 2, planes: 2}
"""


def scanned(tmp_path, name, **protocol):
    """A radial scan as a raw file."""
    small = {"matrix": N, "n_coils": 4, "n_slices": 2, "n_shots": 52, "trajectory": "radial", "noise_scan": False}
    header, lines, _ = simulate_scan(Protocol(**{**small, **protocol}))
    write_raw(tmp_path / name, header, lines)
    return tmp_path / name, header, lines


def test_planes_are_what_the_reconstruction_gets(tmp_path):
    """Samples, their places and density, and maps, bit for bit."""
    path, header, lines = scanned(tmp_path, "scan.h5")
    result = kband("prepare", path, "-o", tmp_path / "planes.h5")
    assert result.exit_code == 0, result.output
    assert "2 planes, subject scan, 32 × 32 of 4 coils, R 0.98" in result.output
    chain = Pipeline([TrajectoryBuffer(device="cpu"), CoilSensitivities()])
    buffers = list(run(chain, Scan.from_xml(header), iter(lines), Verdict()))
    for plane, buffer in zip(PlaneFile(tmp_path / "planes.h5"), buffers, strict=True):
        assert torch.equal(plane.kspace, buffer.kspace[0, 0, 0])
        assert torch.equal(plane.csm, buffer.csm[0, 0])
        assert torch.equal(plane.trajectory.coords, buffer.sampling.coords[0, 0, 0])
        assert torch.equal(plane.trajectory.density, buffer.sampling.density[0, 0, 0])
        assert plane.acquired.has_reference


def test_a_scan_of_few_spokes_is_no_reference(tmp_path):
    """Its image streaks: only supervision that needs none can use it."""
    path, *_ = scanned(tmp_path, "few.h5", n_shots=20)
    assert kband("prepare", path, "-o", tmp_path / "planes.h5").exit_code == 0
    assert not PlaneFile(tmp_path / "planes.h5").acquired(0).has_reference


def test_interleaves_are_counted_as_such(tmp_path):
    """16 of one turn each are as many as Nyquist asks for at 32²: by the rule for spokes they would be a third."""
    path, *_ = scanned(tmp_path, "spiral.h5", trajectory="spiral", n_shots=16)
    assert "R 1.00" in kband("prepare", path, "-o", tmp_path / "planes.h5").output
    assert PlaneFile(tmp_path / "planes.h5").acquired(0).has_reference


def test_shots_of_several_curves_are_refused(tmp_path):
    """No supervision knows what a sector of them is: one sentence, and no plane."""
    header, lines, _ = simulate_scan(Protocol(matrix=N, n_coils=4, n_slices=1, n_shots=16, trajectory="spiral",
                                              noise_scan=False))  # fmt: skip
    lines[3].traj[:] *= 0.9
    write_raw(tmp_path / "odd.h5", header, lines)
    result = kband("prepare", tmp_path / "odd.h5", "-o", tmp_path / "planes.h5")
    assert result.exit_code == 1
    assert "slice 0: shots: 1 of 16 are neither spokes nor the first one turned; no supervision is for" in result.output


def test_a_network_learns_from_raw_radial_files(tmp_path):
    """Two subjects, sectors of 45°, two steps: a card for spokes."""
    paths = [scanned(tmp_path, f"{seed}.h5", seed=seed)[0] for seed in (1, 2)]
    assert kband("prepare", *paths, "-o", tmp_path / "planes.h5").exit_code == 0
    (tmp_path / "tiny_recipe.yaml").write_text(RECIPE)
    result = kband(
        "train", tmp_path / "tiny_recipe.yaml", "--planes", tmp_path / "planes.h5", "-o", tmp_path / "models",
        "--workers", 0, "--device", "cpu",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    card = (tmp_path / "models" / "tiny.yaml").read_text()
    assert "- spokes" in card
    assert "supervision: sectors" in card
