"""Small scans along trajectories, changed line by line, and what the buffer makes of them."""

import functools

import ismrmrd
import numpy as np
import pytest
import torch

from gadgets.errors import ScanError
from gadgets.items import Aside, ReconBuffer
from gadgets.receiving.trajectory_buffer import TrajectoryBuffer
from gadgets.scan import Scan
from pipelines.simulation.simulated_protocol import Protocol
from pipelines.simulation.simulated_scan import simulate_scan

N, SHOTS = 32, 24


@functools.cache
def scanned(**changes) -> tuple[Scan, tuple[ismrmrd.Acquisition, ...], torch.Tensor]:
    """Header and lines of a small scan, and the places of its samples `(shot, sample, 2)`."""
    small = {"matrix": N, "n_coils": 3, "n_slices": 1, "trajectory": "radial", "n_shots": SHOTS, "noise_scan": False}
    protocol = Protocol(**{**small, **changes})
    header, lines, _ = simulate_scan(protocol)
    return Scan.from_xml(header), tuple(lines), protocol.shots


def copy(line: ismrmrd.Acquisition, traj=None, data=None, **header) -> ismrmrd.Acquisition:
    """The same line with another trajectory, other samples or header fields."""
    head = line.getHead()
    traj = line.traj if traj is None else np.asarray(traj, np.float32)
    head.trajectory_dimensions = traj.shape[1]
    for name, value in header.items():
        setattr(head, name, value)
    return ismrmrd.Acquisition(head, line.data.copy() if data is None else data, traj)


def received(scan, lines, **properties) -> tuple[list[ReconBuffer], str | None]:
    """Buffers that left, and the error at the end, if there was one."""
    gadget = TrajectoryBuffer(device="cpu", **properties)
    gadget.open(scan)
    buffers = []
    try:
        buffers += [item for item in gadget.process(iter(lines)) if not isinstance(item, Aside)]
    except ScanError as error:
        return buffers, str(error)
    return buffers, None


def buffers_and_error(scan, lines, **properties) -> tuple[list[ReconBuffer], str]:
    """The same where an error ends the scan behind its images."""
    gadget, buffers = TrajectoryBuffer(device="cpu", **properties), []
    gadget.open(scan)
    with pytest.raises(ScanError) as error:
        buffers.extend(item for item in gadget.process(iter(lines)) if not isinstance(item, Aside))
    return buffers, str(error.value)
