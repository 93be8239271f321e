"""Trajectories from formulas, in cycles per pixel: float32 `(shot, sample, 2)`, ky before kx."""

from __future__ import annotations

import math

import torch
from torch import Tensor

CURVE = 4096  # points of the curve by which samples are spaced evenly


def spokes(angles: Tensor, n_samples: int, centre: int | None = None) -> Tensor:
    """Spokes through the centre of k-space, `angles` in radians from kx towards ky.

    Sample n lies at (n − centre)/n_samples; `centre` is n_samples//2 unless it is given.
    """
    radius = (torch.arange(n_samples) - (n_samples // 2 if centre is None else centre)) / n_samples
    direction = torch.stack((angles.sin(), angles.cos()), -1)
    return (radius[:, None] * direction[:, None]).to(torch.float32)


def spirals(n_interleaves: int, matrix: int, oversampling: int = 1) -> Tensor:
    """Archimedean spirals from the centre to 1/2, as far from one another as a field of view of `matrix` allows.

    Samples lie evenly along the curve, `oversampling` times closer than it needs.
    """
    out = torch.linspace(0, 1, CURVE, dtype=torch.float64)
    turns = matrix / (2 * n_interleaves)
    speed = torch.hypot(torch.full_like(out, 0.5), math.pi * turns * out)  # d(length)/d(out)
    length = torch.cumulative_trapezoid(speed, out, dim=0)
    length = torch.cat((length.new_zeros(1), length))
    n_samples = math.ceil(float(length[-1]) * matrix * oversampling) + 1
    at = torch.linspace(0, float(length[-1]), n_samples, dtype=torch.float64)
    after = torch.searchsorted(length, at).clamp(1, CURVE - 1)
    part = (at - length[after - 1]) / (length[after] - length[after - 1])
    out = out[after - 1] + part.clamp(max=1) * (out[after] - out[after - 1])
    angle = 2 * math.pi * (turns * out + torch.arange(n_interleaves)[:, None] / n_interleaves)
    return (torch.stack((angle.sin(), angle.cos()), -1) * (out / 2)[:, None]).to(torch.float32)
