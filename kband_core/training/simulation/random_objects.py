"""Random objects: dead leaves and heads within an irregular outline, or slices of a real head."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from kband_core.training.simulation.anatomy.drawing import anatomical_head
from kband_core.training.simulation.dead_leaves import dead_leaves
from kband_core.training.simulation.random_fields import between, blurred
from kband_core.training.simulation.random_heads import cartoon_head, textured_head

Objects = Literal["cartoon", "textured", "both", "anatomy", "mixed"]
ANATOMICAL = "anatomy", "mixed"  # which need the anatomy that other packages carry
FLAT = 1 / 3  # of both kinds, the share of cartoons
FINER = 2  # drawn pixels per acquired one along each axis


def random_object(shape: tuple[int, int], rng: torch.Generator, *, objects: Objects = "textured") -> Tensor:
    """Draw dead leaves or a head, real `(FINER·y, FINER·x)`, zero outside the object.

    `both`: a cartoon, one time in three, or a textured one. `anatomy`: a slice of a real head. `mixed`: that or a
    textured one, as often.
    """
    if objects == "both":
        objects = "cartoon" if float(torch.rand((), generator=rng)) < FLAT else "textured"
    fine = FINER * shape[0], FINER * shape[1]
    if objects == "anatomy" or (objects == "mixed" and float(torch.rand((), generator=rng)) < 0.5):
        return anatomical_head(fine, rng, finer=FINER)
    kind = float(torch.rand((), generator=rng))
    outline = irregular_ellipse(fine, rng)
    if kind < (0.3 if objects == "cartoon" else 0.12):
        leaves = dead_leaves(fine, rng)
        return (leaves if objects == "cartoon" else _softened(leaves, rng)) * (outline < 1)
    return cartoon_head(outline, rng) if objects == "cartoon" else _softened(textured_head(outline, rng), rng)


def _softened(image: Tensor, rng: torch.Generator) -> Tensor:
    """Blur by up to 0.6 acquired pixels, as decay of the signal and thick slices do; half of the objects not at all."""
    width = FINER * between(-0.6, 0.6, rng)
    return blurred(image, width) if width > 0 else image


def irregular_ellipse(shape: tuple[int, int], rng: torch.Generator) -> Tensor:
    """Distance from the centre of an irregular ellipse, 1 at its border."""
    y, x = (torch.linspace(-1, 1, n) for n in shape)
    y, x = y[:, None] - between(-0.1, 0.1, rng), x - between(-0.1, 0.1, rng)
    turn = between(-math.pi, math.pi, rng)
    semi = between(0.65, 1.0, rng), between(0.6, 0.95, rng)
    along, across = (math.cos(turn) * y + math.sin(turn) * x, math.cos(turn) * x - math.sin(turn) * y)
    angle = torch.atan2(along.expand(shape), across.expand(shape))
    bumps = sum(between(-0.05, 0.05, rng) * torch.cos(n * angle + between(0, 6.28, rng)) for n in (2, 3, 4))
    return torch.hypot(along / semi[0], across / semi[1]) * (1 + bumps)
