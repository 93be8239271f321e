"""Gradient delays in the chain: estimated where nobody told the trajectory, and said."""

import re

import pytest
import torch

from gadgets.errors import PipelineError
from gadgets.receiving.trajectory_buffer import TrajectoryBuffer
from tests.gadgets.shots import copy, received, scanned

pytest.importorskip("finufft")
LATE = {"trajectory": "golden", "matrix": 64, "n_coils": 8, "n_shots": 40, "delay": (0.3, -0.2)}


def bare(lines):
    """Lines that carry no trajectory."""
    return [copy(line, line.traj[:, :0]) for line in lines]


def told(notes) -> list[float]:
    return [float(number) for number in re.findall(r"(?:x|y|xy) (-?\d+\.\d+)", notes["kband_delays"])]


def test_spokes_that_a_step_places_are_moved_and_the_image_says_so():
    """The delays that were simulated, within 0.01 of a sample."""
    scan, lines, _ = scanned(**LATE)
    ((buffer,), error) = received(scan, bare(lines), angle_step=111.24612)
    assert error is None
    assert torch.tensor(told(buffer.notes)).sub(torch.tensor([0.3, -0.2, 0.0])).abs().max() < 0.01
    along_x = buffer.sampling.coords[0, 0, 0, 0, :, 1] * 128  # the first spoke, in samples
    assert abs(float(along_x[len(along_x) // 2].frac()) + 0.3) < 0.02


def test_trajectories_that_lines_carry_are_believed():
    """By default: the scanner may have put its delays in already. Nothing is said, for nothing was done."""
    scan, lines, _ = scanned(**LATE)
    ((believed,), _), ((checked,), _) = received(scan, lines), received(scan, lines, delays="estimate")
    assert "kband_delays" not in believed.notes
    assert checked.notes["kband_delays"].startswith("x 0.3")


def test_what_explains_nothing_better_moves_nothing():
    """Spokes at their places stay there, to the bit, and the image says what was tried."""
    scan, lines, _ = scanned(trajectory="radial", matrix=64, n_coils=8, n_shots=40)
    ((believed,), _), ((checked,), _) = received(scan, lines), received(scan, lines, delays="estimate")
    assert torch.equal(believed.sampling.coords, checked.sampling.coords)
    assert re.fullmatch(r"none: RING would take the residual from 0\.0\d+ to 0\.0\d+", checked.notes["kband_delays"])


def test_too_few_spokes_tell_nothing():
    """The image is made all the same."""
    scan, lines, _ = scanned(trajectory="radial", n_shots=2)
    ((buffer,), error) = received(scan, lines, delays="estimate")
    assert error is None
    assert buffer.notes["kband_delays"] == "unknown: neither opposed spokes nor crossings tell"


def test_half_spokes_tell_nothing():
    """They begin in the centre, and none comes back through it."""
    scan, lines, _ = scanned(trajectory="radial", n_shots=24)
    halves = [copy(line, discard_pre=line.number_of_samples // 2) for line in lines]
    ((buffer,), error) = received(scan, halves, delays="estimate")
    assert error is None
    assert buffer.notes["kband_delays"].startswith("unknown: ")


def test_delays_of_spirals_are_refused():
    """Before the scan: their estimate is another."""
    scan, _, _ = scanned(trajectory="spiral")
    sentence = "encoding 0 has the trajectory spiral; delays are estimated of radial, goldenangle only"
    with pytest.raises(PipelineError, match=f"^TrajectoryBuffer.delays: {sentence}$"):
        TrajectoryBuffer(delays="estimate").open(scan)
