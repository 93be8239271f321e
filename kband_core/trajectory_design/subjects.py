"""Random objects that a trajectory is tried on, and how well CG-SENSE finds them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from kband_core.calibration import espirit_maps
from kband_core.coils import combine
from kband_core.fourier import resize, to_image, to_kspace
from kband_core.metrics import nrmse
from kband_core.nufft import nufft
from kband_core.sampling import Trajectory
from kband_core.solvers import solve_normal
from kband_core.training.simulation.procedural import central_lines, procedural_coil_image, ring_of_loops
from kband_core.training.simulation.random_objects import FINER, random_object
from kband_core.trajectory_operator import TrajectoryOperator

ITERATIONS = 10  # of CG-SENSE
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


@torch.no_grad()
def mean_error(
    subjects: list[Subject], coords: Tensor, noise: float, seed: int, *, led_to: Tensor | None = None
) -> float:
    """Return the mean NRMSE of subjects at the λ of `WEIGHTS` that is best for them all; the same noise for any λ."""
    led_to = coords if led_to is None else led_to

    def at(weight: float) -> float:
        rng = torch.Generator().manual_seed(seed)
        errors = (error_of(subject, coords, noise, weight, rng, led_to) for subject in subjects)
        return sum(map(float, errors)) / len(subjects)

    return min(at(weight) for weight in WEIGHTS)
