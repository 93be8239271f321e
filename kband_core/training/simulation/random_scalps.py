"""Random scalps: layers of bone, fat, muscle and skin around a brain.

With few lines most of the error of a real head lies in them: they are thin, bright, and next to the coils.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from kband_core.training.simulation.random_fields import above, between, border_width, rough_field, smooth_field


def within_cartoon_scalp(head: Tensor, outline: Tensor, edge: float, rng: torch.Generator) -> Tensor:
    """Surround a `head` `(y, x)` with flat layers from `edge` of its `outline` to 1, the skin."""
    inner, shape = outline / edge, head.shape
    depth = (outline - edge) / (1 - edge) + (inner > 1) * 0.03 * smooth_field(shape, 0.02 * max(shape), rng)
    n_layers = int(torch.randint(2, 8, (), generator=rng))
    borders = torch.rand(n_layers - 1, generator=rng).sort().values
    levels = _levels(n_layers, rng)
    thickness = smooth_field(shape, between(0.1, 0.4, rng) * max(shape), rng)
    layers = levels[torch.bucketize(depth + between(0, 0.2, rng) * thickness * (1 - depth), borders)]
    patches = smooth_field(shape, between(4, 12, rng), rng) > between(0.5, 2, rng)
    scalp = layers * (1 - between(0, 0.6, rng) * patches)
    return torch.where(inner > 1, scalp, head).clamp(min=0.01) * (outline < 1)


def within_textured_scalp(head: Tensor, outline: Tensor, edge: float, rng: torch.Generator) -> Tensor:
    """Surround a `head` `(y, x)` with uneven layers, from about `edge` of its `outline` to 1, the skin.

    Each layer swells and thins out on its way around the head, is brighter here than there, and has a texture, spots
    and soft borders of its own.
    """
    shape = head.shape
    longest = max(shape)
    n_layers = int(torch.randint(2, 8, (), generator=rng))
    slow = torch.stack([smooth_field(shape, between(0.1, 0.5, rng) * longest, rng) for _ in range(3)])
    fine = smooth_field(shape, between(0.01, 0.05, rng) * longest, rng)
    skull = edge + between(0, 0.04, rng) * slow[0]  # a brain is not shaped as its scalp is
    depth = (outline - skull) / (1 - skull).clamp(min=0.02)
    turns = 2 * math.pi * torch.rand(2, n_layers, generator=rng)
    uneven, bumpy = between(0, 1.2, rng), between(0, 0.2, rng)
    swelling = [uneven * _mixed(slow, turn) + bumpy * fine for turn in turns[0]]
    thickness = torch.stack([between(0.2, 1, rng) * torch.exp(field) for field in swelling])
    borders = (thickness.cumsum(0) / thickness.sum(0))[:-1]
    contrast = between(0, 0.4, rng)
    shadings = [1 + contrast * _mixed(slow, turn) for turn in turns[1]]
    levels = _levels(n_layers, rng)[:, None, None] * torch.stack(shadings)
    scalp = levels[0]
    for border, level in zip(borders, levels[1:], strict=True):
        scalp = scalp + above(depth - border, 0.0, 0.15 * border_width(rng)) * (level - scalp)
    scalp = scalp * (1 + between(0, 0.3, rng) * rough_field(shape, between(0.3, 2, rng), rng))
    spots = above(smooth_field(shape, between(3, 16, rng), rng), between(1.2, 2.6, rng), border_width(rng))
    scalp = (scalp * (1 - between(0, 0.8, rng) * spots)).clamp(min=0)
    return torch.lerp(head, scalp, above(depth, 0.0, 0.15 * border_width(rng))).clamp(min=0.01) * (outline < 1)


def _levels(n_layers: int, rng: torch.Generator) -> Tensor:
    """Draw how bright each layer is: some are dark as bone, and next to the coils fat outshines the brain."""
    levels = torch.rand(n_layers, generator=rng)
    levels = torch.where(torch.rand(n_layers, generator=rng) < 0.4, 0.1 * levels, levels)
    brightest = torch.rand(n_layers, generator=rng) < 0.4
    return torch.where(brightest, levels * between(1, 3, rng), levels)


def _mixed(fields: Tensor, turn: Tensor) -> Tensor:
    """Another field of SD 1, from three `(3, y, x)`."""
    return (fields[0] + math.sqrt(2) * (torch.cos(turn) * fields[1] + torch.sin(turn) * fields[2])) / math.sqrt(3)
