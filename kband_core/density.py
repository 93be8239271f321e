"""Density of samples along a trajectory: the area of k-space that each one stands for, in (cycles per pixel)².

All return float32 `(shot, sample)` for coordinates `(shot, sample, 2)`; the sum is about the area of their disc.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from kband_core.nufft import adjoint_nufft, nufft


def radial_density(coords: Tensor) -> Tensor:
    """|k|·Δθ·Δk of straight spokes, at the centre the disc of radius Δk/2, shared by all spokes.

    Δθ lies halfway to the neighbours of a spoke's own angle, so that golden and lost spokes count right. Spokes that
    pass the centre have angles modulo 180°; those that all begin there, half spokes, modulo 360°.
    """
    n_spokes, n_samples = coords.shape[:2]
    along = coords[:, -1] - coords[:, 0]
    step = torch.linalg.vector_norm(along, dim=-1, keepdim=True) / (n_samples - 1)
    radius = torch.linalg.vector_norm(coords, dim=-1)
    begins_in_the_centre = bool((radius[:, :1] <= step).all())
    turn = 2 * math.pi if begins_in_the_centre else math.pi
    angle, order = torch.atan2(along[:, 0], along[:, 1]).double().remainder(turn).sort()
    gap = torch.diff(angle, append=angle[:1] + turn)
    sector = torch.empty_like(gap)
    sector[order] = (gap + gap.roll(1)) / 2
    at_centre = math.pi * (step / 2).square() / n_spokes
    return torch.maximum(radius * sector.float()[:, None] * step, at_centre)


def spiral_density(coords: Tensor) -> Tensor:
    """|k·dk|·2π/interleaves: the part of the ring that a step outwards adds (Hoge 1997)."""
    outwards = (coords * torch.gradient(coords, dim=1)[0]).sum(-1).abs()
    return outwards * (2 * math.pi / len(coords))


def iterative_density(coords: Tensor, shape: tuple[int, int], n_iterations: int = 20) -> Tensor:
    """Weights whose sum under the kernel of the field of view is the same at every sample (Pipe and Menon 1999).

    For any trajectory. w ← w / Gw, where G multiplies the image on twice the grid by a triangle: its transform is
    positive, and as wide as the field of view makes the samples depend on one another.
    """
    twice = (2 * shape[0], 2 * shape[1])
    ny, nx = (1 - (torch.arange(2 * n, device=coords.device) - n).abs() / n for n in shape)
    window = ny[:, None] * nx
    weight = torch.ones(coords.shape[:-1], device=coords.device)
    for _ in range(n_iterations):
        image = adjoint_nufft(weight.to(torch.complex64), coords, twice)
        weight = weight / nufft(image * window, coords).abs()
    disc = math.pi * float(torch.linalg.vector_norm(coords, dim=-1).max()) ** 2
    return weight * (disc / weight.sum())
