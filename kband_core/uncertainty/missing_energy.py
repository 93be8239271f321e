"""How much of the energy of an image lies where nothing was measured, told from what was measured nearby."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from kband_core.sampling import Grid
from kband_core.shots import RIM, Shots

NEAR = 4  # measured lines as far from the centre that tell of one left out
RINGS = 16


def missing_energy(kspace: Tensor, sampling: Grid | Shots, shape: tuple[int, int], noise: Tensor) -> Tensor:
    """Estimate the share of the energy of all of k-space that was not measured: of signal and of noise, `(b, 2)`.

    Signal is as strong as in measured lines, or rings of shots, that are as far from the centre of k-space. `kspace`
    `(b, coil, ky, kx)` of images of `shape`, of shots as a network gets it, with SD `noise` `(b,)`.
    """
    is_grid = isinstance(sampling, Grid)
    measured, share, size = _of_lines(kspace, sampling) if is_grid else _of_rings(kspace, sampling, shape)
    by_noise = noise.square()[:, None] * kspace.shape[1]
    whole = (measured - by_noise).clamp(min=0) * size
    missing = torch.stack([(1 - share) * whole, (1 - share) * by_noise * size]).sum(-1)
    return (missing / (whole + by_noise * size).sum(-1).clamp(min=torch.finfo(noise.dtype).tiny)).T


def _of_lines(kspace: Tensor, sampling: Grid) -> tuple[Tensor, Tensor, Tensor]:
    """Mean energy of a sample of each line `(b, ky)`, measured or told by others; which share came; how many it has."""
    n_lines, n_samples = kspace.shape[-2:]
    mask = sampling.mask.expand(len(kspace), n_lines, n_samples)
    count = mask.sum(-1)
    energy = (kspace.abs().square().sum(1) * mask).sum(-1) / count.clamp(min=1)
    away = (torch.arange(n_lines, device=kspace.device) - n_lines // 2).abs().float()
    apart = (away[:, None] - away).abs().expand(len(kspace), -1, -1).masked_fill((count == 0)[:, None], math.inf)
    near = apart.topk(min(NEAR, n_lines), largest=False).indices
    told = energy[:, None].expand(-1, n_lines, -1).gather(-1, near).mean(-1)
    return torch.where(count > 0, energy, told), count / n_samples, torch.full_like(energy, n_samples)


def _of_rings(kspace: Tensor, shots: Shots, shape: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
    """The same of rings `(b, ring)`; samples of a readout that lie closer than a pixel of k-space count for less."""
    pixels = torch.tensor(shape, device=kspace.device)
    spacing = torch.linalg.vector_norm(shots.coords.diff(dim=-2) * pixels, dim=-1).mean((-2, -1)).clamp(max=1)
    radius = torch.linalg.vector_norm(shots.coords, dim=-1).flatten(1)
    ring = (radius / RIM * RINGS).long().clamp(max=RINGS - 1)
    counts = (shots.weight > 0).flatten(1).float()
    energy = (kspace / shots.weight.clamp(min=1e-6).unsqueeze(1)).abs().square().sum(1).flatten(1) * counts
    zeros = counts.new_zeros(len(counts), RINGS)
    n, total = zeros.scatter_add(1, ring, counts), zeros.scatter_add(1, ring, energy)
    outer = torch.arange(1, RINGS + 1, device=kspace.device)
    area = (2 * outer - 1) * math.pi * math.prod(shape) * (RIM / RINGS) ** 2
    return total / n.clamp(min=1), (n * spacing[:, None] / area).clamp(max=1), area.expand_as(total)
