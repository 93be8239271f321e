"""Dead leaves: occluding shapes of all sizes, which have the edges of natural images (Lee, Mumford and Huang 2001)."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def dead_leaves(shape: tuple[int, int], rng: torch.Generator, n_leaves: int = 300) -> Tensor:
    """Cover `shape` with ellipses and rectangles whose sizes follow a power law, later ones on top; real, 0 to 1."""
    canvas = torch.full(shape, float(torch.rand((), generator=rng)))
    longest = max(shape)
    draw = torch.rand((n_leaves, 10), generator=rng)
    smallest, largest = 5.0 / longest, 0.35
    radii = longest / torch.sqrt(draw[:, 0] / smallest**2 + (1 - draw[:, 0]) / largest**2)
    order = radii.argsort(descending=True) if float(torch.rand((), generator=rng)) < 0.5 else range(n_leaves)
    for leaf in order:
        _, y, x, ratio, turn, level, slope, direction, ripple, form = draw[leaf].tolist()
        radius = float(radii[leaf])
        semi = radius, radius * (0.25 + 0.75 * ratio)
        centre = y * shape[0], x * shape[1]
        (top, bottom), (left, right) = (
            (max(int(middle - 1.5 * radius), 0), min(int(middle + 1.5 * radius) + 2, length))
            for middle, length in zip(centre, shape, strict=True)
        )
        rows = torch.arange(top, bottom)[:, None] - centre[0]
        columns = torch.arange(left, right) - centre[1]
        cos, sin = math.cos(math.pi * turn), math.sin(math.pi * turn)
        along, across = (cos * rows + sin * columns) / semi[0], (cos * columns - sin * rows) / semi[1]
        inside = along**2 + across**2 < 1 if form < 0.7 else (along.abs() < 0.8) & (across.abs() < 0.8)
        angle = 2 * math.pi * direction
        value = level + 0.3 * (slope - 0.5) * (math.cos(angle) * along + math.sin(angle) * across)
        if ripple > 0.8:
            waves = 2 + 10 * (ripple - 0.8) / 0.2
            value = value + 0.15 * torch.sin(waves * (math.sin(angle) * along + math.cos(angle) * across))
        canvas[top:bottom, left:right] = torch.where(inside, value + 0 * rows, canvas[top:bottom, left:right])
    return canvas.clamp(0, 1.2)
