"""Sentences about shots that cannot be used, and what becomes of their image."""

import numpy as np
import pytest
import torch

from tests.gadgets.shots import SHOTS, buffers_and_error, copy, received, scanned

pytest.importorskip("finufft")

FLAWS = {
    "no trajectory": (
        lambda line: copy(line, np.zeros((line.number_of_samples, 0))),
        "radial: lines carry no trajectory; set angle_step",
    ),
    "NaN in the trajectory": (
        lambda line: copy(line, np.full_like(line.traj, np.nan)),
        "128 of 128 coordinates of the trajectory are not finite numbers",
    ),
    "one NaN in the trajectory": (
        lambda line: copy(line, np.where(np.arange(128).reshape(64, 2) == 77, np.nan, line.traj)),
        "1 of 128 coordinates of the trajectory are not finite numbers",
    ),
    "other units": (
        lambda line: copy(line, line.traj * 64),
        "largest |k| is 32; cycles per pixel, 0.2 to 0.6, expected",
    ),
    "per millimetre": (
        lambda line: copy(line, line.traj / 7),
        "largest |k| is 0.07143; cycles per pixel, 0.2 to 0.6, expected",
    ),
    "shorter than its data": (
        lambda line: copy(line, np.vstack([line.traj[:-9], np.zeros((9, 2))])),
        "trajectory has 55 samples, data 64",
    ),
    "one dimension": (lambda line: copy(line, line.traj[:, :1]), "the trajectory has 1 dimensions, 2 or 3 expected"),
    "NaN in the data": (
        lambda line: copy(line, data=np.full_like(line.data, np.nan)),
        "192 of 192 samples are not finite numbers",
    ),
}


@pytest.mark.parametrize(("spoil", "reason"), FLAWS.values(), ids=FLAWS)
def test_a_shot_that_has_no_place_is_set_aside(spoil, reason):
    """The image says so and comes all the same; the scan ends with an error."""
    scan, lines, _ = scanned()
    (buffer,), error = buffers_and_error(scan, [spoil(lines[0]), *lines[1:]])
    assert error == f"TrajectoryBuffer: 1 line set aside: {reason}"
    assert buffer.problems == (f"1 line set aside: {reason}",)
    assert str(buffer.counts[0, 0, 0]) == "23 of 24"


def test_a_shot_may_end_in_the_centre():
    """One zero at the end is a place, not a trajectory that ends too early."""
    scan, lines, _ = scanned(trajectory="spiral")
    inwards = [copy(line, line.traj[::-1], np.ascontiguousarray(line.data[:, ::-1])) for line in lines]
    assert received(scan, inwards)[1] is None


def test_averages_are_told_by_how_often_a_shot_comes():
    """Their numbers are the scanner's, here as on a grid: 5 and 6 are two."""
    scan, lines, _ = scanned(n_averages=2)
    renumbered = []
    for line in lines:
        line = copy(line)
        line.idx.average += 5
        renumbered.append(line)
    ((buffer,), error), ((plain,), _) = received(scan, renumbered), received(scan, lines)
    assert error is None
    assert str(buffer.counts[0, 0, 0]) == "48 of 48"
    assert torch.equal(buffer.kspace, plain.kspace)


def test_a_shot_that_comes_twice_is_set_aside():
    """Which of them is right nobody knows."""
    scan, lines, _ = scanned()
    (buffer,), error = buffers_and_error(scan, [lines[0], *lines])
    assert error.endswith("1 line set aside: it came before, and the header announces 1 of its kind")
    assert buffer.kspace.shape[-2] == SHOTS


def test_shots_told_in_different_frames_are_refused():
    """Whether their trajectory turns with the readout nobody can tell; the sentence speaks of no grid."""
    scan, lines, _ = scanned()
    turned = copy(lines[5], read_dir=(0.0, 1.0, 0.0), phase_dir=(-1.0, 0.0, 0.0))
    buffers, error = received(scan, [*lines[:5], turned, *lines[6:]])
    assert buffers == []
    assert error == (
        "TrajectoryBuffer: readouts turn by 90.0° within the image of slice 0; coordinates along a trajectory are told "
        "in one frame of directions for all its shots"
    )
