"""Scans of things that never were: training data that need no patient.

Dead leaves (occluding shapes of all sizes, Lee, Mumford and Huang 2001) have the edges of natural images; tissue made
of level sets of smooth random fields folds like a cortex. Both are drawn on a finer grid and truncated in k-space, as
a scanner truncates, and get a random contrast, shading, phase, coil array and noise.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from kband_core.calibration import espirit_maps
from kband_core.fourier import resize, to_kspace
from kband_core.training.dataset import Plane

FINER = 2  # drawn pixels per acquired one along each axis
NOISE = (0.001, 0.08)  # SD of the complex noise of a coil, over the brightness of the object
ACS_LINES = (16, 32)  # which the maps are estimated from


def procedural_plane(
    shape: tuple[int, int],
    *,
    n_coils: int,
    rng: torch.Generator,
    noise: tuple[float, float] = NOISE,
    tissue_phase: bool = True,
) -> Plane:
    """Simulate a fully sampled, noisy scan of a random object by a random array: k-space `(n_coils, *shape)`.

    The maps are estimated from the central lines, 16 to 32 of them, as at work. The noise is white, its SD drawn
    log-uniformly between the two of `noise`, in units of the object's brightness, which is the 95th percentile of its
    magnitude. Without `tissue_phase` the phase is smooth everywhere.
    """
    density = random_object(shape, rng) ** _between(0.6, 1.8, rng)  # from flat contrast to steep
    support = density > 0
    image = density * torch.polar(_shading(shape, rng), _phase(shape, rng))
    if tissue_phase:
        image = image * torch.polar(torch.ones_like(density), _tissue_phase(density, rng))
    sensitivities = _coils(shape, n_coils, rng)
    strength = sensitivities.norm(dim=0)
    csm = sensitivities / strength
    image = image * (strength / strength[support].mean() if support.any() else strength)
    image = image / _brightness(image)
    fine = to_kspace(image * csm)
    kspace = resize(fine, shape) / FINER
    low, high = (math.log(level) for level in noise)
    kspace = kspace + math.exp(_between(low, high, rng)) * torch.randn(kspace.shape, dtype=kspace.dtype, generator=rng)
    kspace = kspace.to(torch.complex64)
    n_lines = min(int(torch.randint(ACS_LINES[0], ACS_LINES[1] + 1, (), generator=rng)), shape[0])
    maps = espirit_maps(resize(kspace, [n_lines], dims=[-2]), shape)
    return Plane(
        kspace, torch.ones(shape[0], 1, dtype=torch.bool), maps,
        subject="procedural", protocol="procedural", source="", slice=0, angle=None,
    )  # fmt: skip


def random_object(shape: tuple[int, int], rng: torch.Generator) -> Tensor:
    """Draw dead leaves, a folded head, or leaves within a head, real `(FINER·y, FINER·x)`, zero outside the object."""
    height, width = FINER * shape[0], FINER * shape[1]
    kind = float(torch.rand((), generator=rng))
    outline = _outline((height, width), rng)
    if kind < 0.3:
        return dead_leaves((height, width), rng) * (outline < 1)
    return _head((height, width), outline, rng)


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
    edge = _between(0.74, 0.94, rng)
    fold = smooth_field(shape, _between(0.03, 0.09, rng) * max(shape), rng, band=True)
    deep = smooth_field(shape, _between(0.15, 0.35, rng) * max(shape), rng)
    inner = outline / edge
    fluid = (inner > 0.95 - 0.06 * fold.abs()) | ((fold.abs() < _between(0.03, 0.2, rng)) & (inner > 0.6))
    cortex = (fold > _between(0.0, 0.8, rng)) & (inner > _between(0.2, 0.7, rng))
    nuclei = (deep > _between(0.7, 1.3, rng)) & (inner < 0.6)
    ventricle = (deep < -_between(0.9, 1.6, rng)) & (inner < 0.5)
    head = torch.full(shape, float(0.3 + 0.7 * levels[0]))
    for region, level in ((cortex, levels[1]), (nuclei, levels[2]), (ventricle, levels[3]), (fluid, levels[4])):
        head = torch.where(region, 0.05 + 0.95 * level, head)
    if float(levels[5]) < 0.6:
        leaves = dead_leaves(shape, rng, n_leaves=100)
        chosen = smooth_field(shape, 0.2 * max(shape), rng) > _between(0.3, 1.5, rng)
        head = torch.where(chosen & (inner < 0.9), head * (0.4 + 0.8 * leaves), head)
    texture = smooth_field(shape, _between(2, 8, rng), rng)
    head = head * (1 + _between(0.0, 0.08, rng) * texture)
    vessels = (smooth_field(shape, _between(0.03, 0.1, rng) * max(shape), rng).abs() < 0.03) & (fold > 0.5)
    head = torch.where(vessels & (float(levels[6]) < 0.5), _between(0, 2, rng), head)
    depth = (outline - edge) / (1 - edge) + (inner > 1) * 0.03 * smooth_field(shape, 0.02 * max(shape), rng)
    return torch.where(inner > 1, _scalp(depth, rng), head).clamp(min=0.01) * (outline < 1)


def _scalp(depth: Tensor, rng: torch.Generator) -> Tensor:
    """Thin layers around a brain, some dark as bone, some bright as fat; `depth` is 0 within them and 1 at the skin."""
    n_layers = int(torch.randint(2, 8, (), generator=rng))
    borders = torch.rand(n_layers - 1, generator=rng).sort().values
    levels = torch.rand(n_layers, generator=rng)
    levels = torch.where(torch.rand(n_layers, generator=rng) < 0.4, 0.1 * levels, levels)
    brightest = torch.rand(n_layers, generator=rng) < 0.4  # next to the coils fat outshines the brain
    levels = torch.where(brightest, levels * _between(1, 3, rng), levels)
    thickness = smooth_field(depth.shape, _between(0.1, 0.4, rng) * max(depth.shape), rng)
    layers = levels[torch.bucketize(depth + _between(0, 0.2, rng) * thickness * (1 - depth), borders)]
    patches = smooth_field(depth.shape, _between(4, 12, rng), rng) > _between(0.5, 2, rng)
    return layers * (1 - _between(0, 0.6, rng) * patches)


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


def _outline(shape: tuple[int, int], rng: torch.Generator) -> Tensor:
    """Distance from the centre of an irregular ellipse, 1 at its border."""
    y, x = (torch.linspace(-1, 1, n) for n in shape)
    y, x = y[:, None] - _between(-0.1, 0.1, rng), x - _between(-0.1, 0.1, rng)
    turn = _between(-math.pi, math.pi, rng)
    semi = _between(0.65, 1.0, rng), _between(0.6, 0.95, rng)
    along, across = (math.cos(turn) * y + math.sin(turn) * x, math.cos(turn) * x - math.sin(turn) * y)
    angle = torch.atan2(along.expand(shape), across.expand(shape))
    bumps = sum(_between(-0.05, 0.05, rng) * torch.cos(n * angle + _between(0, 6.28, rng)) for n in (2, 3, 4))
    return torch.hypot(along / semi[0], across / semi[1]) * (1 + bumps)


def _shading(shape: tuple[int, int], rng: torch.Generator) -> Tensor:
    fine = _fine(shape)
    return torch.exp(_between(0, 0.25, rng) * smooth_field(fine, 0.5 * max(fine), rng))


def _phase(shape: tuple[int, int], rng: torch.Generator) -> Tensor:
    fine = _fine(shape)
    y, x = (torch.linspace(-1, 1, n) for n in fine)
    ramp = _between(-3, 3, rng) * y[:, None] + _between(-3, 3, rng) * x + _between(-3.1, 3.1, rng)
    return ramp + _between(0, 1.0, rng) * smooth_field(fine, _between(0.15, 0.6, rng) * max(fine), rng)


def _tissue_phase(density: Tensor, rng: torch.Generator) -> Tensor:
    """Fat is out of phase with water, and every tissue a little with the next; air beside tissue winds the phase up."""
    strength = _between(0, 0.4, rng) if float(torch.rand((), generator=rng)) < 0.5 else _between(0, math.pi, rng)
    phase = strength * torch.sin(_between(1.5, 6, rng) * density + _between(0, 2 * math.pi, rng))
    y, x = (torch.linspace(-1, 1, n) for n in density.shape)
    for _ in range(int(torch.randint(4, (), generator=rng))):
        width = _between(0.1, 0.4, rng)
        distance = (y[:, None] - _between(-1, 1, rng)).square() + (x - _between(-1, 1, rng)).square()
        phase = phase + _between(-8, 8, rng) * torch.exp(-distance / (2 * width**2))
    return phase


def _coils(shape: tuple[int, int], n_coils: int, rng: torch.Generator) -> Tensor:
    """Loops on a ring around the object, each two wires with opposite currents; smooth, so drawn on a coarse grid."""
    fine = _fine(shape)
    y, x = (torch.linspace(-1, 1, 32) * (n / max(fine)) for n in fine)
    points = torch.complex(x.expand(32, 32), y[:, None].expand(32, 32))
    spread = torch.rand(n_coils, generator=rng) - 0.5
    angle = 2 * math.pi * (torch.arange(n_coils) + 0.5 * spread + float(torch.rand((), generator=rng))) / n_coils
    radius = _between(1.15, 1.6, rng) * (1 + 0.1 * (torch.rand(n_coils, generator=rng) - 0.5))
    half = min(math.pi / n_coils * _between(0.8, 1.5, rng), math.pi / 3)
    fields = [1 / (torch.polar(radius, angle + side)[:, None, None] - points) for side in (half, -half)]
    turn = torch.polar(torch.ones(n_coils), 2 * math.pi * torch.rand(n_coils, generator=rng))
    coarse = (fields[0] - fields[1]) * turn[:, None, None]
    parts = torch.view_as_real(coarse).movedim(-1, 1)
    smooth = torch.nn.functional.interpolate(parts, size=fine, mode="bicubic", align_corners=True)
    return torch.view_as_complex(smooth.movedim(1, -1).contiguous())


def _brightness(image: Tensor) -> Tensor:
    bright = image.abs().flatten()
    return torch.quantile(bright[:: max(len(bright) // 100_000, 1)], 0.95).clamp(min=1e-3)


def _fine(shape: tuple[int, int]) -> tuple[int, int]:
    return FINER * shape[0], FINER * shape[1]


def _between(low: float, high: float, rng: torch.Generator) -> float:
    return low + (high - low) * float(torch.rand((), generator=rng))
