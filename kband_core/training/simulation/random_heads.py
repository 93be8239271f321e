"""Random heads, whose tissues are level sets of smooth fields and so fold like a cortex.

In a cartoon tissues are flat and their borders sharp; textured ones have gradations, soft borders and detail at every
scale, as real ones have.
"""

from __future__ import annotations

import torch
from torch import Tensor

from kband_core.training.simulation.dead_leaves import dead_leaves
from kband_core.training.simulation.random_fields import above, between, border_width, rough_field, smooth_field
from kband_core.training.simulation.random_scalps import within_cartoon_scalp, within_textured_scalp


def cartoon_head(outline: Tensor, rng: torch.Generator) -> Tensor:
    """Draw scalp, skull and a brain of flat tissues inside of an `outline` `(y, x)`, which is 1 at the skin."""
    shape = outline.shape
    levels = torch.rand(7, generator=rng)
    edge = between(0.74, 0.94, rng)
    fold = smooth_field(shape, between(0.03, 0.09, rng) * max(shape), rng, band=True)
    deep = smooth_field(shape, between(0.15, 0.35, rng) * max(shape), rng)
    inner = outline / edge
    fluid = (inner > 0.95 - 0.06 * fold.abs()) | ((fold.abs() < between(0.03, 0.2, rng)) & (inner > 0.6))
    cortex = (fold > between(0.0, 0.8, rng)) & (inner > between(0.2, 0.7, rng))
    nuclei = (deep > between(0.7, 1.3, rng)) & (inner < 0.6)
    ventricle = (deep < -between(0.9, 1.6, rng)) & (inner < 0.5)
    head = torch.full(shape, float(0.3 + 0.7 * levels[0]))
    for region, level in ((cortex, levels[1]), (nuclei, levels[2]), (ventricle, levels[3]), (fluid, levels[4])):
        head = torch.where(region, 0.05 + 0.95 * level, head)
    if float(levels[5]) < 0.6:
        leaves = dead_leaves(shape, rng, n_leaves=100)
        chosen = smooth_field(shape, 0.2 * max(shape), rng) > between(0.3, 1.5, rng)
        head = torch.where(chosen & (inner < 0.9), head * (0.4 + 0.8 * leaves), head)
    texture = smooth_field(shape, between(2, 8, rng), rng)
    head = head * (1 + between(0.0, 0.08, rng) * texture)
    vessels = (smooth_field(shape, between(0.03, 0.1, rng) * max(shape), rng).abs() < 0.03) & (fold > 0.5)
    head = torch.where(vessels & (float(levels[6]) < 0.5), between(0, 2, rng), head)
    return within_cartoon_scalp(head, outline, edge, rng)


def textured_head(outline: Tensor, rng: torch.Generator) -> Tensor:
    """Draw scalp, skull and what they hold, a brain or clouds of tissue, inside of an `outline` `(y, x)`."""
    shape = outline.shape
    edge = between(0.74, 0.94, rng)
    inner = outline / edge
    kind = float(torch.rand((), generator=rng))
    head = clouds(shape, rng) if kind < 0.25 else _brain(shape, inner, rng)
    if kind > 0.7:
        other = clouds(shape, rng) if kind < 0.85 else 0.2 + 0.8 * dead_leaves(shape, rng, n_leaves=100)
        chosen = smooth_field(shape, 0.2 * max(shape), rng)
        head = torch.lerp(head, other, above(chosen, between(0, 1.5, rng), border_width(rng)))
    head = head * (1 + between(0, 0.15, rng) * rough_field(shape, between(0.3, 2, rng), rng)).clamp(min=0)
    if float(torch.rand((), generator=rng)) < 0.5:
        lines = smooth_field(shape, between(0.03, 0.1, rng) * max(shape), rng).abs() < 0.03
        vessels = lines & (smooth_field(shape, 0.1 * max(shape), rng) > between(0, 1.5, rng))
        head = torch.where(vessels, between(0, 2, rng), head)
    return within_textured_scalp(head, outline, edge, rng)


def clouds(shape: tuple[int, int], rng: torch.Generator) -> Tensor:
    """Draw random fields seen through random curves, one beside another, real `(y, x)`, 0 to 1."""
    one, other = _cloud(shape, rng), _cloud(shape, rng)
    beside = smooth_field(shape, between(0.05, 0.4, rng) * max(shape), rng)
    return torch.lerp(one, other, above(beside, between(-0.5, 0.5, rng), border_width(rng)))


def _cloud(shape: tuple[int, int], rng: torch.Generator) -> Tensor:
    field = rough_field(shape, between(1.2, 3.2, rng), rng)
    levels = torch.rand(int(torch.randint(2, 9, (), generator=rng)), generator=rng)
    place = (0.5 + 0.25 * field).clamp(0, 1) * (len(levels) - 1)
    lower = place.floor().clamp(max=len(levels) - 2)
    steepness = 1.5 ** between(0, 8, rng)  # 1 is nearly a straight line from level to level, 25 a step
    between_levels = torch.sigmoid(4 * steepness * (place - lower - 0.5))
    return torch.lerp(levels[lower.long()], levels[lower.long() + 1], between_levels)


def _brain(shape: tuple[int, int], inner: Tensor, rng: torch.Generator) -> Tensor:
    """White matter under a cortex that folds, fluid between the folds, nuclei, ventricles; `inner` is 1 at its edge."""
    white, cortex, nuclei, fluid, ventricles = (0.05 + 0.95 * torch.rand(5, generator=rng)).tolist()
    if float(torch.rand((), generator=rng)) < 0.5:  # tissues differ little in most contrasts
        cortex, nuclei = white * between(0.7, 1.3, rng), white * between(0.7, 1.3, rng)
    fold = smooth_field(shape, between(0.02, 0.08, rng) * max(shape), rng, band=True)
    finer = smooth_field(shape, between(0.01, 0.03, rng) * max(shape), rng, band=True)
    outwards = between(1.5, 8, rng) * (inner - between(0.6, 0.95, rng))
    filled = between(0.2, 1.2, rng)  # how high above the border of the white matter fluid begins
    if float(torch.rand((), generator=rng)) < 0.5:  # furrows as lines, lined by a cortex on both sides
        ribbon = between(0.3, 0.9, rng)
        fold, filled = ribbon - fold.abs(), ribbon * between(0.5, 0.95, rng)
        outwards = outwards.clamp(max=0)
    height = fold + between(0, 0.6, rng) * filled * finer + outwards
    deep = smooth_field(shape, between(0.1, 0.35, rng) * max(shape), rng) - between(0, 2, rng) * (inner - 0.5)
    brain = torch.full(shape, white)
    for field, level, tissue in (
        (deep, between(0.5, 1.3, rng), nuclei),
        (height, 0.0, cortex),
        (height, filled, fluid),
        (-deep, between(0.7, 1.8, rng), ventricles),
    ):
        brain = brain + above(field, level, border_width(rng)) * (tissue - brain)
    return brain
