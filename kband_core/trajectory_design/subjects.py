"""Random objects that a trajectory is tried on, and how well CG-SENSE finds them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from kband_core.calibration import espirit_maps
from kband_core.central_kspace import central_kspace, covered_extent
from kband_core.coils import combine, merge_sets
from kband_core.density import iterative_density
from kband_core.fourier import resize, to_image, to_kspace
from kband_core.metrics import nrmse
from kband_core.nufft import nufft
from kband_core.sampling import Trajectory
from kband_core.solvers import solve_normal
from kband_core.training.simulation.procedural import central_lines, procedural_coil_image, ring_of_loops
from kband_core.training.simulation.random_objects import FINER, random_object
from kband_core.trajectory_operator import TrajectoryOperator

ITERATIONS = 10  # of CG-SENSE
CALIBRATING = 24  # samples across that calibrate at most
WEIGHTS = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2)  # λ of which the best one counts


@dataclass(frozen=True)
class Subject:
    """An object in a ring of coils: fine coil images `(coil, y, x)`, maps `(set, coil, y, x)`, the image `(set, y, x)`.

    The fine image has `FINER` times the pixels, so that samples come from more than what is to be found.
    """

    coil_image: Tensor
    csm: Tensor
    image: Tensor


def random_subject(matrix: int, n_coils: int, rng: torch.Generator) -> Subject:
    """Draw an object and an array; the maps are estimated from central lines, as at work."""
    shape = (matrix, matrix)
    fine = procedural_coil_image(random_object(shape, rng), partial(ring_of_loops, n_coils=n_coils), rng)
    kspace = resize(to_kspace(fine), shape) / FINER
    csm = espirit_maps(central_lines(kspace, rng), shape)
    return Subject(fine, csm, combine(to_image(kspace), csm))


def samples_of(subject: Subject, coords: Tensor, noise: float, rng: torch.Generator) -> Tensor:
    """Measure a subject at `coords` `(shot, sample, 2)` with white noise of a complex SD: `(coil, shot, sample)`."""
    samples = nufft(subject.coil_image, coords / FINER) / FINER
    return samples + noise * torch.randn(samples.shape, dtype=samples.dtype, generator=rng)


def cg_sense(samples: Tensor, coords: Tensor, csm: Tensor, weight: Tensor | float) -> Tensor:
    """Solve (AᴴA + λ) x = Aᴴy by `ITERATIONS` steps, through which derivatives pass to coordinates and λ."""
    operator = TrajectoryOperator(Trajectory(coords), csm)
    return solve_normal(operator, operator.adjoint(samples), weight, ITERATIONS)


def error_of(
    subject: Subject, coords: Tensor, noise: float, weight: Tensor | float, rng: torch.Generator, led_to: Tensor
) -> Tensor:
    """Return the NRMSE of a subject's image from what was measured at `led_to`, and taken for that at `coords`."""
    found = cg_sense(samples_of(subject, led_to, noise, rng), coords, subject.csm, weight)
    return nrmse(found.flatten(0, 1), subject.image.flatten(0, 1))  # of all sets together


def error_with_own_maps(
    subject: Subject, coords: Tensor, noise: float, weight: Tensor | float, rng: torch.Generator
) -> Tensor:
    """Return the same where coil maps are found in the same samples, as at work: of magnitudes, after one factor."""
    shape, samples = tuple(subject.csm.shape[-2:]), samples_of(subject, coords, noise, rng)
    extent = covered_extent(coords, shape, CALIBRATING)
    sampling = Trajectory(coords, iterative_density(coords, shape))
    csm = espirit_maps(central_kspace(samples, sampling, shape, (extent, extent)), shape)
    found, reference = (merge_sets(image).abs() for image in (cg_sense(samples, coords, csm, weight), subject.image))
    factor = (found * reference).sum() / found.square().sum()
    return nrmse(factor * found, reference)


@torch.no_grad()
def mean_error(
    subjects: list[Subject], coords: Tensor, noise: float, seed: int, *, led_to: Tensor | None = None
) -> float:
    """Return the mean NRMSE of subjects at the λ of `WEIGHTS` that is best for them all; the same noise for any λ."""
    led_to = coords if led_to is None else led_to
    return _best_mean(subjects, seed, lambda *of: error_of(of[0], coords, noise, *of[1:], led_to))


@torch.no_grad()
def mean_error_with_own_maps(subjects: list[Subject], coords: Tensor, noise: float, seed: int) -> float:
    """Return the same of images by maps that the samples tell themselves."""
    return _best_mean(subjects, seed, lambda *of: error_with_own_maps(of[0], coords, noise, *of[1:]))


def _best_mean(
    subjects: list[Subject], seed: int, error: Callable[[Subject, float, torch.Generator], Tensor]
) -> float:
    def at(weight: float) -> float:
        rng = torch.Generator().manual_seed(seed)
        return sum(float(error(subject, weight, rng)) for subject in subjects) / len(subjects)

    return min(at(weight) for weight in WEIGHTS)
