"""Random bodies of water and fat: a rind of fat around tissues of all shares of it, iron, gas, and the field."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from kband_core.relaxometry.fat_model import fat_shift_hz
from kband_core.training.simulation.dead_leaves import dead_leaves
from kband_core.training.simulation.random_fields import between, blurred, rough_field, smooth_field
from kband_core.training.simulation.random_objects import irregular_ellipse

N_LEAVES, N_TISSUES = 120, 9
BLUR = 0.7  # pixels of the borders between tissues


@dataclass(frozen=True)
class Belly:
    """Maps `(y, x)`: water and fat complex at t = 0, zero outside; R2* in 1/s, `b0` in Hz."""

    water: Tensor
    fat: Tensor
    r2star: Tensor
    b0: Tensor


def random_belly(shape: tuple[int, int], field_t: float, most_b0: float, rng: torch.Generator) -> Belly:
    """Draw a body whose field stays within ±`most_b0` Hz.

    Tissues are dead leaves, each with protons, a share of fat and an R2*, all a little uneven within it; two thirds of
    them are lean, as bodies are. R2* grows with the field strength.
    """
    distance = irregular_ellipse(shape, rng)
    tissue = (dead_leaves(shape, rng, N_LEAVES) / 1.2 * N_TISSUES).long().clamp(0, N_TISSUES - 1)
    tissue = torch.where(distance > 1 - between(0.05, 0.3, rng), N_TISSUES, tissue)
    kinds = [_tissue(field_t, rng) for _ in range(N_TISSUES)] + [(0.9, 0.93, between(20, 50, rng))]
    table = torch.tensor(kinds)[tissue.flatten()].T.view(3, *shape)
    protons, share, r2star = (blurred(one, BLUR) for one in table)
    inside = blurred((distance < 1).float(), BLUR)
    protons = protons * inside * torch.exp(0.1 * rough_field(shape, 2.0, rng)) * _shading(shape, rng)
    share = (share + 0.03 * share.sqrt() * rough_field(shape, 1.5, rng)).clamp(0, 1)
    r2star = (r2star * torch.exp(between(0, 0.15, rng) * smooth_field(shape, 8, rng))).clamp(1, 800)
    gas = (distance < 1) & (protons < 0.1)
    phase = torch.polar(torch.ones(shape), _phase(shape, rng))
    return Belly(protons * (1 - share) * phase, protons * share * phase, r2star, _field(shape, gas, most_b0, rng))


def most_known_b0(echo_times_ms: list[float], field_t: float) -> float:
    """Return the largest field, Hz, that echoes are told apart by: half a turn between neighbours, at most 0.9 shifts.
    """
    closest = min(later - earlier for earlier, later in pairwise(echo_times_ms))
    return min(0.9 * fat_shift_hz(field_t), 400.0 / closest)


def _tissue(field_t: float, rng: torch.Generator) -> tuple[float, float, float]:
    """Protons, share of fat and R2*, of lean tissue, fatty liver, fat, marrow, iron, or gas."""
    kind, stronger = between(0, 1, rng), field_t / 1.5
    if kind < 0.45:
        return between(0.4, 1, rng), between(0, 0.08, rng), between(8, 45, rng) * stronger
    if kind < 0.6:
        return between(0.5, 1, rng), between(0.05, 0.5, rng), between(20, 60, rng) * stronger
    if kind < 0.75:
        return between(0.6, 1, rng), between(0.8, 1, rng), between(15, 50, rng)
    if kind < 0.82:
        return between(0.3, 0.8, rng), between(0.2, 0.8, rng), between(60, 150, rng) * stronger
    if kind < 0.92:
        return between(0.4, 0.9, rng), between(0, 0.2, rng), between(80, 400, rng) * stronger**0.5
    return between(0, 0.08, rng), between(0, 0.3, rng), between(50, 200, rng)


def _shading(shape: tuple[int, int], rng: torch.Generator) -> Tensor:
    return torch.exp(between(0, 0.35, rng) * smooth_field(shape, 0.5 * max(shape), rng))


def _phase(shape: tuple[int, int], rng: torch.Generator) -> Tensor:
    y, x = (torch.linspace(-1, 1, n) for n in shape)
    ramp = between(-3, 3, rng) * y[:, None] + between(-3, 3, rng) * x + between(-math.pi, math.pi, rng)
    return ramp + between(0, 0.5, rng) * smooth_field(shape, 0.4 * max(shape), rng)


def _field(shape: tuple[int, int], gas: Tensor, most: float, rng: torch.Generator) -> Tensor:
    """A shim that is not perfect, and what gas bends near it."""
    y, x = (torch.linspace(-1, 1, n) for n in shape)
    even = between(-1, 1, rng) * y[:, None] + between(-1, 1, rng) * x + between(0, 0.5, rng) * smooth_field(
        shape, between(0.3, 0.8, rng) * max(shape), rng
    )  # fmt: skip
    bent = blurred(gas.float(), between(2, 6, rng))
    bent = bent.diff(dim=0, prepend=bent[:1]) * between(-10, 10, rng) + bent * between(-1, 1, rng)
    return most * between(0.05, 0.7, rng) * (between(-1, 1, rng) + 0.6 * even + bent).clamp(-1.4, 1.4)
