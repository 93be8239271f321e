"""What a design starts from and is compared with: spokes, and spirals as fast as gradients allow, in the same time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from kband_core.trajectory_design.gradient_limits import GradientLimits

PATH = 1024  # points of a path on which its pace is computed
HALVINGS = 16  # of the interval in which the number of turns lies
MOST_TURNS = 256.0


@dataclass(frozen=True, kw_only=True)
class Readout:
    """When samples are taken: `n_samples` of `dwell_us`, each in the middle of its time, on an image of `pixel_mm`."""

    n_samples: int
    dwell_us: float
    pixel_mm: float

    @property
    def duration_us(self) -> float:
        return self.n_samples * self.dwell_us

    @property
    def times_us(self) -> Tensor:
        """When each sample is taken, float64 `(sample,)`."""
        return (torch.arange(self.n_samples, dtype=torch.float64) + 0.5) * self.dwell_us


def radial_shots(n_shots: int, readout: Readout, limits: GradientLimits, *, step: float) -> Tensor:
    """Return spokes through the centre, `step` radians apart, at an even pace: float64 `(shot, sample, 2)`.

    Raises `ValueError` where the gradient would have to be stronger than the limit.
    """
    reach = limits.speed(readout.duration_us, readout.pixel_mm)
    if reach < 1:
        raise ValueError(
            f"a spoke in {readout.duration_us / 1000:g} ms needs {limits.gradient / reach:.1f} mT/m, "
            f"{limits.gradient:g} expected at most; a longer readout or larger pixels needed"
        )
    angles = step * torch.arange(n_shots, dtype=torch.float64)
    radius = readout.times_us / readout.duration_us - 0.5
    return radius[:, None] * torch.stack((angles.sin(), angles.cos()), -1)[:, None]


def spiral_shots(n_shots: int, readout: Readout, limits: GradientLimits, *, density: float) -> Tensor:
    """Return spirals out of the centre with as many turns as the time of the readout allows: `(shot, sample, 2)`.

    The radius grows as the angle to the power of `density`: 1 is Archimedes', more is denser in the centre. The pace is
    the fastest that keeps the limits. Raises `ValueError` where not even a straight line gets to the edge.
    """
    low, high = 0.0, MOST_TURNS
    if float(_pace(_spiral(low, density), readout, limits)[-1]) > readout.duration_us:
        raise ValueError(f"no spiral reaches the edge of k-space in {readout.duration_us / 1000:g} ms")
    for _ in range(HALVINGS):
        turns = (low + high) / 2
        is_late = float(_pace(_spiral(turns, density), readout, limits)[-1]) > readout.duration_us
        low, high = (low, turns) if is_late else (turns, high)
    path = _spiral(low, density)
    reached = _pace(path, readout, limits)
    stretched = reached * (readout.duration_us / reached[-1])
    one = _at(path, stretched, readout.times_us)
    turn = 2 * math.pi * torch.arange(n_shots, dtype=torch.float64) / n_shots
    rotated = torch.complex(one[:, 1], one[:, 0]) * torch.polar(torch.ones_like(turn), turn)[:, None]
    return torch.stack((rotated.imag, rotated.real), -1)


def _spiral(turns: float, density: float) -> Tensor:
    out = torch.linspace(0, 1, PATH, dtype=torch.float64) ** (1 / density)  # closer where it is fast
    angle = 2 * math.pi * turns * out
    return 0.5 * (out**density)[:, None] * torch.stack((angle.sin(), angle.cos()), -1)


def _pace(path: Tensor, readout: Readout, limits: GradientLimits) -> Tensor:
    """Return when each point of a path `(point, 2)` is reached at the earliest, µs: `(point,)`.

    The gradient's norm bounds the speed v; the slew rate's norm bounds the curvature's v²κ and what is left of it the
    change of v, along the path and against it (Lustig 2008, in steps of the path). It may begin and end at any speed.
    """
    fastest, strongest = limits.speed(1, readout.pixel_mm), limits.bend(1, readout.pixel_mm)
    steps = torch.linalg.vector_norm(torch.diff(path, dim=0), dim=-1)
    curvature = _curvature(path)
    speed = (strongest / curvature.clamp(min=1e-12)).sqrt().clamp(max=fastest).tolist()
    lengths, curvature = steps.tolist(), curvature.tolist()
    for order in (range(1, len(speed)), range(len(speed) - 2, -1, -1)):
        for n in order:
            before = n - 1 if order.step > 0 else n + 1
            bend = speed[before] ** 2 * curvature[before]
            along = math.sqrt(max(strongest**2 - bend**2, 0))
            speed[n] = min(speed[n], math.sqrt(speed[before] ** 2 + 2 * along * lengths[min(n, before)]))
    mean = torch.tensor([(a + b) / 2 for a, b in pairwise(speed)], dtype=torch.float64)
    return torch.cat((torch.zeros(1, dtype=torch.float64), (steps / mean.clamp(min=1e-12)).cumsum(0)))


def _curvature(path: Tensor) -> Tensor:
    first = torch.gradient(path, dim=0)[0]
    second = torch.gradient(first, dim=0)[0]
    cross = (first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]).abs()
    return cross / torch.linalg.vector_norm(first, dim=-1).pow(3).clamp(min=1e-18)


def _at(path: Tensor, reached: Tensor, times: Tensor) -> Tensor:
    after = torch.searchsorted(reached, times).clamp(1, len(path) - 1)
    part = ((times - reached[after - 1]) / (reached[after] - reached[after - 1])).clamp(0, 1)
    return path[after - 1] + part[:, None] * (path[after] - path[after - 1])
