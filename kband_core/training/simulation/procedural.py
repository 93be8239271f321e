"""Scans of things that never were: training data that need no patient.

Random objects are drawn on a finer grid and truncated in k-space, as a scanner truncates, and get a random contrast,
shading, phase, coil array and noise.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from kband_core.calibration import espirit_maps
from kband_core.coils import compress, compression_matrix
from kband_core.fourier import resize, to_kspace
from kband_core.training.dataset import Plane
from kband_core.training.simulation.random_fields import between, smooth_field
from kband_core.training.simulation.random_objects import FINER, Objects, random_object

NOISE = (0.001, 0.08)  # SD of the complex noise of a coil, over the brightness of the object
ACS_LINES = (16, 32)  # which the maps are estimated from


def procedural_plane(
    shape: tuple[int, int],
    *,
    n_coils: int,
    rng: torch.Generator,
    objects: Objects = "textured",
    noise: tuple[float, float] = NOISE,
    tissue_phase: bool = True,
    dense: bool = False,
    cut: bool = False,
) -> Plane:
    """Simulate a fully sampled, noisy scan of a random object by a random array: k-space `(n_coils, *shape)`.

    `objects` are cartoon ones, of flat tissues with sharp borders, or textured. A `dense` array has up to 32 small
    coils close to the skin, compressed to `n_coils` by its central lines, as at work; a `cut` object reaches beyond the
    field of view.

    The maps are estimated from the central lines, 16 to 32 of them, as at work. The noise is white, its SD drawn
    log-uniformly between the two of `noise`, in units of the object's brightness, which is the 95th percentile of its
    magnitude. Without `tissue_phase` the phase is smooth everywhere.
    """
    density = random_object(shape, rng, objects=objects, cut=cut)
    density = density ** between(0.6, 1.8, rng)  # from flat contrast to steep
    support = density > 0
    image = density * torch.polar(_shading(shape, rng), _phase(shape, rng))
    if tissue_phase:
        image = image * torch.polar(torch.ones_like(density), _tissue_phase(density, rng))
    sensitivities = _dense_coils(shape, n_coils, rng) if dense else _coils(shape, n_coils, rng)
    strength = sensitivities.norm(dim=0)
    csm = sensitivities / strength
    image = image * (strength / strength[support].mean() if support.any() else strength)
    image = image / _brightness(image)
    fine = to_kspace(image * csm)
    kspace = resize(fine, shape) / FINER
    low, high = (math.log(level) for level in noise)
    kspace = kspace + math.exp(between(low, high, rng)) * torch.randn(kspace.shape, dtype=kspace.dtype, generator=rng)
    kspace = kspace.to(torch.complex64)
    n_lines = min(int(torch.randint(ACS_LINES[0], ACS_LINES[1] + 1, (), generator=rng)), shape[0])
    acs = resize(kspace, [n_lines], dims=[-2])
    if dense:
        matrix = compression_matrix(acs, n_coils)
        kspace, acs = compress(kspace, matrix), compress(acs, matrix)
    maps = espirit_maps(acs, shape)
    return Plane(
        kspace, torch.ones(shape[0], 1, dtype=torch.bool), maps,
        subject="procedural", protocol="procedural", source="", slice=0, angle=None,
    )  # fmt: skip


def _shading(shape: tuple[int, int], rng: torch.Generator) -> Tensor:
    fine = _fine(shape)
    return torch.exp(between(0, 0.25, rng) * smooth_field(fine, 0.5 * max(fine), rng))


def _phase(shape: tuple[int, int], rng: torch.Generator) -> Tensor:
    fine = _fine(shape)
    y, x = (torch.linspace(-1, 1, n) for n in fine)
    ramp = between(-3, 3, rng) * y[:, None] + between(-3, 3, rng) * x + between(-3.1, 3.1, rng)
    return ramp + between(0, 1.0, rng) * smooth_field(fine, between(0.15, 0.6, rng) * max(fine), rng)


def _tissue_phase(density: Tensor, rng: torch.Generator) -> Tensor:
    """Fat is out of phase with water, and every tissue a little with the next; air beside tissue winds the phase up."""
    strength = between(0, 0.4, rng) if float(torch.rand((), generator=rng)) < 0.5 else between(0, math.pi, rng)
    phase = strength * torch.sin(between(1.5, 6, rng) * density + between(0, 2 * math.pi, rng))
    y, x = (torch.linspace(-1, 1, n) for n in density.shape)
    for _ in range(int(torch.randint(4, (), generator=rng))):
        width = between(0.1, 0.4, rng)
        distance = (y[:, None] - between(-1, 1, rng)).square() + (x - between(-1, 1, rng)).square()
        phase = phase + between(-8, 8, rng) * torch.exp(-distance / (2 * width**2))
    return phase


def _coils(shape: tuple[int, int], n_coils: int, rng: torch.Generator) -> Tensor:
    """Loops on a ring around the object, each two wires with opposite currents; smooth, so drawn on a coarse grid."""
    fine = _fine(shape)
    y, x = (torch.linspace(-1, 1, 32) * (n / max(fine)) for n in fine)
    points = torch.complex(x.expand(32, 32), y[:, None].expand(32, 32))
    spread = torch.rand(n_coils, generator=rng) - 0.5
    angle = 2 * math.pi * (torch.arange(n_coils) + 0.5 * spread + float(torch.rand((), generator=rng))) / n_coils
    radius = between(1.15, 1.6, rng) * (1 + 0.1 * (torch.rand(n_coils, generator=rng) - 0.5))
    half = min(math.pi / n_coils * between(0.8, 1.5, rng), math.pi / 3)
    fields = [1 / (torch.polar(radius, angle + side)[:, None, None] - points) for side in (half, -half)]
    turn = torch.polar(torch.ones(n_coils), 2 * math.pi * torch.rand(n_coils, generator=rng))
    return _drawn_finely((fields[0] - fields[1]) * turn[:, None, None], fine)


def _dense_coils(shape: tuple[int, int], fewest: int, rng: torch.Generator) -> Tensor:
    """Up to 32 small loops close to the skin, in the plane and above and below it, as in a helmet."""
    n_coils = int(torch.randint(max(fewest, 16), 33, (), generator=rng))
    fine = _fine(shape)
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
    return _drawn_finely(coarse * torch.polar(torch.ones(n_coils), 2 * math.pi * turn)[:, None, None], fine)


def _drawn_finely(coarse: Tensor, fine: tuple[int, int]) -> Tensor:
    parts = torch.view_as_real(coarse).movedim(-1, 1)
    smooth = torch.nn.functional.interpolate(parts, size=fine, mode="bicubic", align_corners=True)
    return torch.view_as_complex(smooth.movedim(1, -1).contiguous())


def _brightness(image: Tensor) -> Tensor:
    bright = image.abs().flatten()
    return torch.quantile(bright[:: max(len(bright) // 100_000, 1)], 0.95).clamp(min=1e-3)


def _fine(shape: tuple[int, int]) -> tuple[int, int]:
    return FINER * shape[0], FINER * shape[1]
