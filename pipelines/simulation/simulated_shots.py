"""Where the samples of a simulated scan along a trajectory lie, and where late gradients led them."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from kband_core.gradient_delays import delayed
from kband_core.trajectories import spirals, spokes
from pipelines.simulation.slab import Slab

SPOKES = "radial", "golden", "stack"
BENT = "spiral", "other"  # whose samples are as many as their curve takes
GOLDEN = math.pi * (math.sqrt(5) - 1) / 2  # 111.246°, of Winkelmann 2007


def shot_places(trajectory: str, n_shots: int, matrix: int, oversampling: int) -> Tensor:
    """Places that lines tell `(shot, sample, 2)`, ky before kx, in cycles per pixel."""
    if trajectory == "spiral":
        return spirals(n_shots, matrix, oversampling)
    step = GOLDEN if trajectory == "golden" else math.pi / n_shots
    return spokes(torch.arange(n_shots, dtype=torch.float64) * step, matrix * oversampling)


def sampled_places(places: Tensor, delay: tuple[float, float]) -> Tensor:
    """Where gradients that come late, along x and y by so many samples, led spokes instead."""
    x, y = delay
    return delayed(places, torch.diag(torch.tensor((y, x)))) if any(delay) else places


def check_shots(trajectory: str, delay: tuple[float, float], slab: Slab | None) -> None:
    """Raise `ValueError` for late gradients, and for partitions, where nobody simulates them."""
    if any(delay) and trajectory not in SPOKES:
        raise ValueError(f"{trajectory}: gradient delays need trajectory {', '.join(SPOKES)}")
    if trajectory == "stack" and slab != Slab(slab.n_partitions if slab else 2):
        raise ValueError("stack: a number of partitions needed, none of which is left out")
    if slab and trajectory not in ("cartesian", "stack"):
        raise ValueError(f"{trajectory}: a slab of partitions needs trajectory cartesian or stack")
