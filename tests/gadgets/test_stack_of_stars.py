"""Stacks of stars: a plane for each z, where all partitions of an angle came at the same places."""

import numpy as np
import pytest
import torch

from gadgets.errors import PipelineError
from gadgets.receiving.trajectory_buffer import TrajectoryBuffer
from gadgets.scan import Scan
from pipelines.simulation.slab import Slab
from tests.gadgets.shots import buffers_and_error, copy, received, scanned

pytest.importorskip("finufft")
N, SHOTS, PARTITIONS = 32, 24, 6
STACK = {"trajectory": "stack", "slab": Slab(PARTITIONS), "snr": 1e4}


def test_partitions_become_planes_at_the_same_places():
    """[coil z shot sample]: one trajectory for all z, one calibration for each, of what spokes cover of the centre."""
    scan, lines, places = scanned(**STACK)
    ((buffer,), error) = received(scan, lines)
    assert error is None
    inside = (places.abs() <= 0.5).all(-1).all(0)
    assert torch.equal(buffer.sampling.coords[0, 0, 0], places[:, inside])
    assert buffer.kspace.shape[3:] == (3, PARTITIONS, SHOTS, int(inside.sum()))
    assert buffer.acs.shape == (1, PARTITIONS, 3, 20, 20)
    assert str(buffer.counts[0, 0, 0]) == f"{SHOTS * PARTITIONS} of {SHOTS * PARTITIONS}"


def test_the_order_of_partitions_does_not_matter():
    """The counters tell: kz may be the inner loop or the outer one, and run either way."""
    scan, lines, _ = scanned(**STACK)
    ((one,), _), ((other,), _) = received(scan, lines), received(scan, lines[::-1])
    assert torch.equal(one.kspace, other.kspace)


def test_energy_is_that_of_the_partitions():
    """The transform along kz is orthonormal, coil by coil (single precision)."""
    scan, lines, places = scanned(**STACK)
    ((buffer,), _) = received(scan, lines)
    inside = (places.abs() <= 0.5).all(-1).all(0).numpy()
    sent = sum(np.square(np.abs(line.data[:, inside]).astype(float)).sum() for line in lines)
    assert float(buffer.kspace.abs().double().square().sum()) == pytest.approx(sent, rel=1e-5)


def test_an_angle_that_lacks_a_partition_is_left_out_and_told():
    """What remains is a complete stack of fewer angles; the image counts what came, and says what it lacks."""
    scan, lines, _ = scanned(**STACK)
    ((buffer,), error) = received(scan, [*lines[:8], *lines[9:]])
    assert error is None
    assert buffer.kspace.shape[-2] == SHOTS - 1
    assert str(buffer.counts[0, 0, 0]) == "143 of 144"
    assert buffer.problems == ("1 angle left out, of which partitions are missing",)


def refused(scan, lines) -> str:
    buffers, error = received(scan, lines)
    assert buffers == []
    return error


def test_partitions_that_are_never_whole_are_refused():
    """Undersampled along kz, nothing separates z: one sentence instead of an image with aliases."""
    scan, lines, _ = scanned(**STACK)
    kept = [line for line in lines if (line.idx.kspace_encode_step_2 + line.idx.kspace_encode_step_1) % 3]
    error = refused(scan, kept)
    assert error == f"slice 0: none of {SHOTS} angles came in all {PARTITIONS} partitions, as a stack of stars needs it"


def test_angles_that_turn_from_partition_to_partition_are_refused():
    """Their samples lie on no line along kz."""
    scan, lines, _ = scanned(**STACK)
    turned = [copy(line, line.traj[:, ::-1]) if line.idx.kspace_encode_step_2 % 2 else line for line in lines]
    assert refused(scan, turned) == (
        "slice 0: shots of encoding step 1 0 lie up to 0.5 cycles per pixel apart in different partitions; a stack of "
        "stars has them at the same places"
    )


def test_shots_that_climb_along_kz_are_set_aside():
    """A third column is a coordinate here, not a weight; a trajectory in three dimensions is no stack."""
    scan, lines, _ = scanned(**STACK)
    climbing = np.hstack([lines[0].traj, np.linspace(-0.5, 0.5, len(lines[0].traj))[:, None]])
    (buffer,), error = buffers_and_error(scan, [copy(lines[0], climbing), *lines[1:]])
    reason = "1 line set aside: kz changes by 1 along it; shots of a stack stay in their partition"
    assert error == f"TrajectoryBuffer: {reason}"
    assert reason in buffer.problems


def test_windows_of_stacks_are_refused_before_the_scan():
    """They are of one plane."""
    scan, _, _ = scanned(**STACK)
    sentence = "TrajectoryBuffer.spokes: encoding 0 has 6 partitions; windows are of one plane"
    with pytest.raises(PipelineError, match=f"^{sentence}$"):
        TrajectoryBuffer(spokes=4).open(scan)


def test_one_side_of_kz_is_refused_before_the_scan():
    """Partial Fourier along kz would be taken for the whole."""
    scan, _, _ = scanned(**STACK)
    xml = scan.xml.replace("<z>6</z>", "<z>12</z>").replace("<center>3</center>", "<center>1</center>")
    sentence = (
        "TrajectoryBuffer: encoding 0 has 6 steps along kz for 12 partitions, 1 before the centre, at R=1; a stack of "
        "stars needs all of both sides"
    )
    with pytest.raises(PipelineError) as error:
        TrajectoryBuffer().open(Scan.from_xml(xml))
    assert str(error.value) == sentence
