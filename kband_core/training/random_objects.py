"""Objects that never were: occluding shapes, and heads whose tissues fold.

Dead leaves (occluding shapes of all sizes, Lee, Mumford and Huang 2001) have the edges of natural images; tissue made
of level sets of smooth random fields folds like a cortex.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

FINER = 2  # drawn pixels per acquired one along each axis


def random_object(shape: tuple[int, int], rng: torch.Generator, *, cut: bool = False) -> Tensor:
    """Draw dead leaves, a folded head, or leaves within a head, real `(FINER·y, FINER·x)`, zero outside the object.

    If `cut`, it is larger than the field of view, at one edge or more, where it fades.
    """
    height, width = FINER * shape[0], FINER * shape[1]
    kind = float(torch.rand((), generator=rng))
    outline = _outline((height, width), rng, grown=between(1.1, 1.6, rng) if cut else 1.0)
    if kind < 0.3:
        return dead_leaves((height, width), rng) * (outline < 1)
    head = _head((height, width), outline, rng)
    return head * _fading((height, width), rng) if cut else head


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


def _head(shape: tuple[int, int], outline: Tensor, rng: torch.Generator) -> Tensor:
    """Scalp, skull and a brain whose tissues are level sets of smooth fields."""
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
    depth = (outline - edge) / (1 - edge) + (inner > 1) * 0.03 * smooth_field(shape, 0.02 * max(shape), rng)
    return torch.where(inner > 1, _scalp(depth, rng), head).clamp(min=0.01) * (outline < 1)


def _scalp(depth: Tensor, rng: torch.Generator) -> Tensor:
    """Thin layers around a brain, some dark as bone, some bright as fat; `depth` is 0 within them and 1 at the skin."""
    n_layers = int(torch.randint(2, 8, (), generator=rng))
    borders = torch.rand(n_layers - 1, generator=rng).sort().values
    levels = torch.rand(n_layers, generator=rng)
    levels = torch.where(torch.rand(n_layers, generator=rng) < 0.4, 0.1 * levels, levels)
    brightest = torch.rand(n_layers, generator=rng) < 0.4  # next to the coils fat outshines the brain
    levels = torch.where(brightest, levels * between(1, 3, rng), levels)
    thickness = smooth_field(depth.shape, between(0.1, 0.4, rng) * max(depth.shape), rng)
    layers = levels[torch.bucketize(depth + between(0, 0.2, rng) * thickness * (1 - depth), borders)]
    patches = smooth_field(depth.shape, between(4, 12, rng), rng) > between(0.5, 2, rng)
    return layers * (1 - between(0, 0.6, rng) * patches)


def smooth_field(shape: tuple[int, int], length: float, rng: torch.Generator, *, band: bool = False) -> Tensor:
    """Draw a Gaussian random field of SD 1 that varies over `length` pixels; real `(y, x)`.

    `band`: only details of about that length, which fold like a cortex.
    """
    y, x = (torch.fft.fftfreq(n) * length for n in shape)
    square = y[:, None].square() + x.square()
    envelope = square * torch.exp(-4 * square) if band else torch.exp(-4 * square)
    white = torch.randn(shape, dtype=torch.complex64, generator=rng)
    field = torch.fft.ifft2(envelope * white).real
    return (field - field.mean()) / field.std().clamp(min=1e-12)


def _outline(shape: tuple[int, int], rng: torch.Generator, *, grown: float = 1.0) -> Tensor:
    """Distance from the centre of an irregular ellipse, 1 at its border; `grown` by a factor, it may stand askew."""
    y, x = (torch.linspace(-1, 1, n) for n in shape)
    shift = 0.1 + (grown - 1)
    y, x = y[:, None] - between(-shift, shift, rng), x - between(-shift, shift, rng)
    turn = between(-math.pi, math.pi, rng)
    semi = grown * between(0.65, 1.0, rng), grown * between(0.6, 0.95, rng)
    along, across = (math.cos(turn) * y + math.sin(turn) * x, math.cos(turn) * x - math.sin(turn) * y)
    angle = torch.atan2(along.expand(shape), across.expand(shape))
    bumps = sum(between(-0.05, 0.05, rng) * torch.cos(n * angle + between(0, 6.28, rng)) for n in (2, 3, 4))
    return torch.hypot(along / semi[0], across / semi[1]) * (1 + bumps)


def _fading(shape: tuple[int, int], rng: torch.Generator) -> Tensor:
    """What the ends of coils and of gradients leave of the signal, 1 in the middle, at the edges of one axis less."""
    edge, width = between(0.8, 1.1, rng), between(0.03, 0.2, rng)
    y, x = (torch.sigmoid((edge - torch.linspace(-1, 1, n).abs()) / width) for n in shape)
    return y[:, None].expand(shape) if between(0, 1, rng) < 0.5 else x.expand(shape)



def between(low: float, high: float, rng: torch.Generator) -> float:
    """Draw a number, uniformly."""
    return low + (high - low) * float(torch.rand((), generator=rng))
