"""Trajectories learned by gradient descent on control points, from coarse curves to fine ones, together with λ.

The loss is the NRMSE of what CG-SENSE finds of a random object from noisy samples, every step of which is derived, and
what exceeds the limits of gradients. Wang, Luo, Nielsen, Noll and Fessler, B-spline parameterized joint optimization of
reconstruction and k-space trajectories (BJORK), IEEE TMI 41:2318 (2022).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from kband_core.central_kspace import bareness
from kband_core.trajectory_design.curves import curve, fitted, refined
from kband_core.trajectory_design.feasible import EDGE, feasible
from kband_core.trajectory_design.gradient_limits import GradientLimits, Raster
from kband_core.trajectory_design.starts import Readout
from kband_core.trajectory_design.subjects import error_of, random_subject

COARSEST_US = 160.0  # of a segment, at first
LEVELS = 3  # each of half the segments' time
WITHIN = 0.95  # of the limits: what rounding and a scanner's own raster may take is left
STEP = 0.01  # cycles per pixel, of Adam, for the coarsest curves; half for each finer level
PENALTY = 10.0  # beside an NRMSE, of the mean square excess over the limits, relative
CENTRE = 4  # the middle fourth of k-space, each way, should be covered: a scan finds its coil maps there
WEIGHT_STEP, FIRST_WEIGHT = 0.03, 1e-3  # Adam's for ln λ, and λ
SUBJECTS, USES = 8, 20  # objects at a time, of which one is drawn anew after so many steps


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is designed: `n_shots` for images of `matrix`² seen by `n_coils` at a noise SD of `noise` per sample.

    `noise` is relative to the object's brightness. Raises `ValueError` for a readout that segments do not divide.
    """

    n_shots: int
    matrix: int
    readout: Readout
    limits: GradientLimits
    n_coils: int = 6
    noise: float = 0.01

    def __post_init__(self) -> None:
        if self.readout.duration_us < COARSEST_US or self.readout.duration_us % COARSEST_US:
            raise ValueError(
                f"a readout of {self.readout.duration_us / 1000:g} ms, a multiple of {COARSEST_US / 1000:g} ms expected"
            )

    def raster(self, level: int) -> Raster:
        """Return the segments of a level, 0 being the coarsest."""
        return Raster(segment_us=COARSEST_US / 2**level, pixel_mm=self.readout.pixel_mm)

    def places(self, points: Tensor, level: int) -> Tensor:
        """Return where the samples of curves of a level lie: `(shot, sample, 2)`, cycles per pixel."""
        return curve(points, self.readout.times_us / self.raster(level).segment_us)

    def within(self) -> GradientLimits:
        """Return the limits that a design keeps."""
        return self.limits.scaled(WITHIN)


@dataclass(frozen=True)
class Progress:
    """A step of learning: the NRMSE of its object before it, and the curves and λ after it.

    The curves of the last one, of `level` LEVELS − 1, keep the limits; those before may exceed them.
    """

    step: int
    level: int
    error: float
    points: Tensor
    weight: float


def learned(task: Task, start: Tensor, *, n_steps: int, rng: torch.Generator) -> Iterator[Progress]:
    """Learn from the shots `start` `(shot, sample, 2)`, in `n_steps` that the levels share.

    Raises `ValueError` for fewer steps than levels.
    """
    if n_steps < LEVELS:
        raise ValueError(f"{n_steps} steps, at least {LEVELS} expected, one for each level")
    n_segments = round(task.readout.duration_us / COARSEST_US)
    points = fitted(start, task.readout.times_us / COARSEST_US, n_segments).float()
    points = feasible(points, task.raster(0), task.within())
    subjects = [random_subject(task.matrix, task.n_coils, rng) for _ in range(SUBJECTS)]
    log_weight = torch.tensor(math.log(FIRST_WEIGHT), requires_grad=True)
    step = 0
    for level in range(LEVELS):
        points = points.clone().requires_grad_(True)
        end = n_steps * (level + 1) // LEVELS
        optimiser = torch.optim.Adam(
            [{"params": [points], "lr": STEP / 2**level}, {"params": [log_weight], "lr": WEIGHT_STEP}],
            betas=(0.9, 0.95),
        )
        falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, end - step)
        while step < end:
            if step and step % USES == 0:
                subjects[step // USES % SUBJECTS] = random_subject(task.matrix, task.n_coils, rng)
            places = task.places(points, level)
            error = error_of(subjects[step % SUBJECTS], places, task.noise, log_weight.exp(), rng, places)
            excess = task.raster(level).excess(points, task.within())
            loss = error + PENALTY * (excess + bareness(places, (task.matrix, task.matrix), task.matrix // CENTRE))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            falling.step()
            with torch.no_grad():
                points.clamp_(-EDGE, EDGE)  # between its points a curve stays within them
            step += 1
            if step == end:
                points = feasible(points.detach(), task.raster(level), task.within())
            weight = float(log_weight.detach().exp())
            yield Progress(step, level, float(error.detach()), points.detach().clone(), weight)
        if level + 1 < LEVELS:
            points = refined(points)
