"""Simulated scans of random objects: training data that need no patient.

Objects are drawn on a finer grid and truncated in k-space, as a scanner truncates, and get a random contrast, shading,
phase, coil array and noise.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from kband_core.calibration import espirit_maps
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
) -> Plane:
    """Simulate a fully sampled, noisy scan of a random object by a random ring of coils: k-space `(n_coils, *shape)`.

    `objects` are cartoon ones, of flat tissues with sharp borders, or textured; `noise` and `tissue_phase` as in
    `procedural_kspace`. The maps are estimated from the central lines, 16 to 32 of them, as at work.
    """
    density = random_object(shape, rng, objects=objects)
    draw_coils = partial(ring_of_loops, n_coils=n_coils)
    kspace = procedural_kspace(density, draw_coils, rng, noise=noise, tissue_phase=tissue_phase)
    return Plane(
        kspace, torch.ones(shape[0], 1, dtype=torch.bool), espirit_maps(central_lines(kspace, rng), shape),
        subject="procedural", protocol="procedural", source="", slice=0, angle=None,
    )  # fmt: skip


def procedural_kspace(
    density: Tensor,
    draw_coils: Callable[[tuple[int, int], torch.Generator], Tensor],
    rng: torch.Generator,
    *,
    noise: tuple[float, float] = NOISE,
    tissue_phase: bool = True,
) -> Tensor:
    """Simulate what an array receives of an object: k-space `(coil, ky, kx)`, `FINER` times coarser than `density`.

    Contrast, shading and phase are random; without `tissue_phase` the phase is smooth everywhere. `draw_coils` makes
    sensitivities `(coil, y, x)` of the size of `density`. The noise is white, its SD drawn log-uniformly between the
    two of `noise`, in units of the object's brightness, which is the 95th percentile of its magnitude.
    """
    coil_image = procedural_coil_image(density, draw_coils, rng, tissue_phase=tissue_phase)
    kspace = resize(to_kspace(coil_image), [n // FINER for n in density.shape]) / FINER
    return with_noise(kspace, noise, rng)


def with_noise(samples: Tensor, noise: tuple[float, float], rng: torch.Generator) -> Tensor:
    """Add white noise to complex samples, its SD drawn log-uniformly between the two of `noise`; complex64."""
    low, high = (math.log(level) for level in noise)
    drawn = math.exp(between(low, high, rng)) * torch.randn(samples.shape, dtype=samples.dtype, generator=rng)
    return (samples + drawn).to(torch.complex64)


def procedural_coil_image(
    density: Tensor,
    draw_coils: Callable[[tuple[int, int], torch.Generator], Tensor],
    rng: torch.Generator,
    *,
    tissue_phase: bool = True,
) -> Tensor:
    """Simulate what each coil sees of an object, `(coil, y, x)` of the size of `density`; as in `procedural_kspace`."""
    fine = tuple(density.shape)
    density = density ** between(0.6, 1.8, rng)  # from flat contrast to steep
    support = density > 0
    image = density * torch.polar(_shading(fine, rng), _phase(fine, rng))
    if tissue_phase:
        image = image * torch.polar(torch.ones_like(density), _tissue_phase(density, rng))
    sensitivities = draw_coils(fine, rng)
    strength = sensitivities.norm(dim=0)
    image = image * (strength / strength[support].mean() if support.any() else strength)
    image = image / _brightness(image)
    return image * (sensitivities / strength)


def central_lines(kspace: Tensor, rng: torch.Generator) -> Tensor:
    """Take the calibration lines of k-space `(coil, ky, kx)`: 16 to 32, or all if there are fewer."""
    n_lines = int(torch.randint(ACS_LINES[0], ACS_LINES[1] + 1, (), generator=rng))
    return resize(kspace, [min(n_lines, kspace.shape[-2])], dims=[-2])


def _shading(fine: tuple[int, int], rng: torch.Generator) -> Tensor:
    return torch.exp(between(0, 0.25, rng) * smooth_field(fine, 0.5 * max(fine), rng))


def _phase(fine: tuple[int, int], rng: torch.Generator) -> Tensor:
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


def ring_of_loops(fine: tuple[int, int], rng: torch.Generator, *, n_coils: int) -> Tensor:
    """Loops around the object, each two wires with opposite currents; smooth, so drawn on a coarse grid."""
    y, x = (torch.linspace(-1, 1, 32) * (n / max(fine)) for n in fine)
    points = torch.complex(x.expand(32, 32), y[:, None].expand(32, 32))
    spread = torch.rand(n_coils, generator=rng) - 0.5
    angle = 2 * math.pi * (torch.arange(n_coils) + 0.5 * spread + float(torch.rand((), generator=rng))) / n_coils
    radius = between(1.15, 1.6, rng) * (1 + 0.1 * (torch.rand(n_coils, generator=rng) - 0.5))
    half = min(math.pi / n_coils * between(0.8, 1.5, rng), math.pi / 3)
    fields = [1 / (torch.polar(radius, angle + side)[:, None, None] - points) for side in (half, -half)]
    turn = torch.polar(torch.ones(n_coils), 2 * math.pi * torch.rand(n_coils, generator=rng))
    return drawn_finely((fields[0] - fields[1]) * turn[:, None, None], fine)


def drawn_finely(coarse: Tensor, fine: tuple[int, int]) -> Tensor:
    """Interpolate coil sensitivities `(coil, y, x)`, which are smooth, to `fine` pixels."""
    parts = torch.view_as_real(coarse).movedim(-1, 1)
    smooth = torch.nn.functional.interpolate(parts, size=fine, mode="bicubic", align_corners=True)
    return torch.view_as_complex(smooth.movedim(1, -1).contiguous())


def _brightness(image: Tensor) -> Tensor:
    bright = image.abs().flatten()
    return torch.quantile(bright[:: max(len(bright) // 100_000, 1)], 0.95).clamp(min=1e-3)
