"""Simulated scans of several echoes: a random body of water and fat, undersampled, reconstructed by CG-SENSE."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from kband_core.fourier import resize, to_image, to_kspace
from kband_core.nufft import nufft
from kband_core.patterns import equispaced_lines
from kband_core.reconstruct import sense
from kband_core.relaxometry.fat_model import check_echoes, synthesise
from kband_core.sampling import Trajectory
from kband_core.shot_angles import nyquist_spokes
from kband_core.training.simulation.procedural import ring_of_loops
from kband_core.training.simulation.random_bellies import Belly, most_known_b0, random_belly
from kband_core.training.simulation.random_fields import between
from kband_core.training.simulation.random_objects import FINER
from kband_core.trajectories import spokes

OVERSAMPLING = 2  # of the readout of spokes
ACS_LINES = 16
REGULARISATION, ITERATIONS = {"lines": 0.01, "spokes": 0.001}, {"lines": 12, "spokes": 15}
GOLDEN = 111.24611797498107  # degrees from one spoke to the next
FIELDS = 1.5, 3.0  # T
FIRST_MS, SPACING_MS = (0.9, 1.8), (0.7, 2.4)  # of echoes at 1.5 T, from, to
EARLIER, CLOSER = 0.3, 0.6  # powers by which they shrink as the field grows


@dataclass(frozen=True, kw_only=True)
class EchoScan:
    """One slice `(y, x)` as a chain has it, and the truth.

    `echoes` complex64 `(echo, y, x)` at `times_ms` in a field of `field_t`, reconstructed from every `acceleration`-th
    of the samples of `sampling`; `truth` the body that a perfect scan would show, at the resolution of the scan.
    """

    echoes: Tensor
    times_ms: tuple[float, ...]
    field_t: float
    sampling: str
    acceleration: float
    truth: Belly


def echo_scan(
    shape: tuple[int, int],
    *,
    rng: torch.Generator,
    n_echoes: tuple[int, int] = (3, 8),
    coils: tuple[int, int] = (4, 10),
    acceleration: tuple[float, float] = (1.0, 5.0),
    noise: tuple[float, float] = (0.003, 0.05),
    sampling: str | None = None,
) -> EchoScan:
    """Simulate a scan of a random body, with as many echoes, coils and so on as drawn between two numbers each.

    `noise` is the SD of a coil's samples over the brightness of the body, drawn log-uniformly. `sampling` is `lines`,
    equispaced ones with calibration lines in the centre, or `spokes` at golden angles; None draws one of them.
    """
    field_t = FIELDS[int(torch.randint(len(FIELDS), (), generator=rng))]
    times = _echo_times(int(torch.randint(n_echoes[0], n_echoes[1] + 1, (), generator=rng)), field_t, rng)
    fine = FINER * shape[0], FINER * shape[1]
    belly = random_belly(fine, field_t, most_known_b0(times, field_t), rng)
    clean = _seen(synthesise(belly.water, belly.fat, belly.r2star, belly.b0, torch.tensor(times), field_t), shape)
    csm = ring_of_loops(fine, rng, n_coils=int(torch.randint(coils[0], coils[1] + 1, (), generator=rng)))
    csm = csm[:, ::FINER, ::FINER]
    csm = csm / csm.norm(dim=0).clamp(min=1e-6)
    sd = noise[0] * (noise[1] / noise[0]) ** between(0, 1, rng) * float(clean.abs().quantile(0.95))
    chosen = sampling or ("lines", "spokes")[int(torch.randint(2, (), generator=rng))]
    factor = between(*acceleration, rng)
    measure = {"lines": _by_lines, "spokes": _by_spokes}[chosen]
    echoes, factor = measure(csm * clean[:, None], csm, factor, sd, rng)
    return EchoScan(echoes=echoes, times_ms=tuple(times), field_t=field_t, sampling=chosen, acceleration=factor,
                    truth=_truth(belly, shape))  # fmt: skip


def drawn_echoes(n_echoes: tuple[int, int]) -> dict[str, tuple[float, float]]:
    """Return, from, to, what may be drawn: `spacing_ms` between echoes, `last_ms` and `field_t`, by their number."""
    closest, farthest = SPACING_MS[0] * (FIELDS[0] / FIELDS[1]) ** CLOSER, SPACING_MS[1]
    earliest, latest = FIRST_MS[0] * (FIELDS[0] / FIELDS[1]) ** EARLIER, FIRST_MS[1]
    last = earliest + (n_echoes[0] - 1) * closest, latest + (n_echoes[1] - 1) * farthest
    return {"spacing_ms": (closest, farthest), "last_ms": last, "field_t": FIELDS}


def most_acceleration(n_lines: int, factor: float) -> float:
    """Return all lines over those acquired where every `factor`-th is, calibration lines among them."""
    return equispaced_lines(n_lines, round(factor), acs_lines=ACS_LINES).acceleration()


def _echo_times(n_echoes: int, field_t: float, rng: torch.Generator) -> list[float]:
    """Times in ms, at equal distances, that tell water from fat."""
    while True:
        first = between(*FIRST_MS, rng) * (FIELDS[0] / field_t) ** EARLIER
        spacing = between(*SPACING_MS, rng) * (FIELDS[0] / field_t) ** CLOSER
        times = [round(first + n * spacing, 3) for n in range(n_echoes)]
        try:
            check_echoes(times, field_t)
        except ValueError:
            continue
        return times


def _seen(fine: Tensor, shape: tuple[int, int]) -> Tensor:
    """What a scan of `shape` resolves of images `(..., y, x)` on the fine grid."""
    return to_image(resize(to_kspace(fine), list(shape))) / FINER


def _truth(belly: Belly, shape: tuple[int, int]) -> Belly:
    """Amplitudes as the scan resolves them; R2* and field as the mean of what shines in a pixel."""
    shine = belly.water.abs() + belly.fat.abs() + 1e-4
    total = _coarse(shine)
    return Belly(_seen(belly.water, shape), _seen(belly.fat, shape), _coarse(shine * belly.r2star) / total,
                 _coarse(shine * belly.b0) / total)  # fmt: skip


def _coarse(fine: Tensor) -> Tensor:
    """Mean around the pixels of the coarse grid, whose centres are those of every second fine one."""
    return torch.nn.functional.avg_pool2d(fine[None, None], 3, FINER, 1, count_include_pad=False)[0, 0]


def _noisy(samples: Tensor, sd: float, rng: torch.Generator) -> Tensor:
    return samples + 2**0.5 * sd * torch.randn(samples.shape, dtype=samples.dtype, generator=rng)


def _by_lines(
    coil_images: Tensor, csm: Tensor, factor: float, sd: float, rng: torch.Generator
) -> tuple[Tensor, float]:
    shape = tuple(coil_images.shape[-2:])
    apart = round(factor)
    offset = int(torch.randint(apart, (), generator=rng))
    grid = equispaced_lines(shape[0], apart, acs_lines=ACS_LINES, offset=offset)
    kspace = grid.mask * _noisy(to_kspace(coil_images), sd, rng)
    options = {"regularisation": REGULARISATION["lines"], "n_iterations": ITERATIONS["lines"]}
    return sense(kspace, grid, csm[None], **options), grid.acceleration()


def _by_spokes(
    coil_images: Tensor, csm: Tensor, factor: float, sd: float, rng: torch.Generator
) -> tuple[Tensor, float]:
    shape = tuple(coil_images.shape[-2:])
    n_spokes = round(nyquist_spokes(shape) / factor)
    angles = torch.deg2rad(GOLDEN * torch.arange(n_spokes, dtype=torch.float64) + between(0, 360, rng))
    trajectory = Trajectory(spokes(angles, OVERSAMPLING * max(shape)))
    kspace = _noisy(nufft(coil_images, trajectory.coords), sd * OVERSAMPLING**0.5, rng)
    weight = REGULARISATION["spokes"] * trajectory.shape.numel() / (shape[0] * shape[1])
    image = sense(kspace, trajectory, csm[None], regularisation=weight, n_iterations=ITERATIONS["spokes"])
    return image, nyquist_spokes(shape) / n_spokes
