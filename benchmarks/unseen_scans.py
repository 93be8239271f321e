"""Simulated scans unlike those that networks train on: arrays of many small coils, objects larger than the image."""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor

from kband_core.coils import compress, compression_matrix
from kband_core.training.simulation.procedural import NOISE, central_lines, drawn_finely, procedural_kspace
from kband_core.training.simulation.random_fields import between
from kband_core.training.simulation.random_objects import FINER, random_object


def small_coil_kspace(
    density: Tensor, n_coils: int, rng: torch.Generator, *, noise: tuple[float, float] = NOISE
) -> Tensor:
    """Simulate what 16 to 32 small coils receive, compressed to `n_coils` by the central lines, as at work.

    `density` of the object `(FINER·y, FINER·x)`; returns k-space `(n_coils, ky, kx)`.
    """
    kspace = procedural_kspace(density, partial(_small_loops, fewest=n_coils), rng, noise=noise)
    return compress(kspace, compression_matrix(central_lines(kspace, rng), n_coils))


def cut_object(shape: tuple[int, int], rng: torch.Generator) -> Tensor:
    """Draw a part of an object that is 1.1 to 1.6 times too large for the field of view, anywhere in it.

    Along one axis it fades towards both ends. Real `(FINER·y, FINER·x)`.
    """
    grown = between(1.1, 1.6, rng)
    whole = random_object((round(grown * shape[0]), round(grown * shape[1])), rng)
    fine = FINER * shape[0], FINER * shape[1]
    top, left = (int(torch.randint(n - part + 1, (), generator=rng)) for n, part in zip(whole.shape, fine, strict=True))
    return whole[top : top + fine[0], left : left + fine[1]] * fading(fine, rng)


def fading(shape: tuple[int, int], rng: torch.Generator) -> Tensor:
    """Draw what the ends of coils and gradients leave of the signal, 1 in the middle `(y, x)`, less along one axis."""
    edge, width = between(0.8, 1.1, rng), between(0.03, 0.2, rng)
    y, x = (torch.sigmoid((edge - torch.linspace(-1, 1, n).abs()) / width) for n in shape)
    return y[:, None].expand(shape) if between(0, 1, rng) < 0.5 else x.expand(shape)


def _small_loops(fine: tuple[int, int], rng: torch.Generator, *, fewest: int) -> Tensor:
    """Loops close to the skin, in the plane and above and below it, as in a helmet."""
    n_coils = int(torch.randint(max(fewest, 16), 33, (), generator=rng))
    y, x = (torch.linspace(-1, 1, 64) * (n / max(fine)) for n in fine)
    points = torch.complex(x.expand(64, 64), y[:, None].expand(64, 64))
    angle, height, size, turn = torch.rand((4, n_coils), generator=rng)
    angle = 2 * math.pi * (torch.arange(n_coils) + angle) / n_coils
    radius = torch.hypot(torch.tensor(between(1.0, 1.2, rng)), 0.8 * height)
    half = 0.15 + 0.3 * size
    coarse = torch.zeros(n_coils, 64, 64, dtype=torch.complex64)
    for side in (1, -1):
        away = torch.polar(radius, angle + side * half)[:, None, None] - points
        coarse += side * away.conj() / (away.abs().square() + 0.05**2)
    return drawn_finely(coarse * torch.polar(torch.ones(n_coils), 2 * math.pi * turn)[:, None, None], fine)
