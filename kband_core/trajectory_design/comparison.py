"""A design beside spokes and spirals of as many shots, read for the same time within the same limits."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from kband_core.trajectory_design.learning import LEVELS, Task
from kband_core.trajectory_design.starts import radial_shots, spiral_shots
from kband_core.trajectory_design.subjects import Subject, mean_error, mean_error_with_own_maps, random_subject

JUDGING = 8  # objects that no design has seen
OTHER_SEEDS = 1 << 40  # from a design's own seed to that of these objects
DENSITIES = (1.0, 1.3, 1.6)  # of spirals, of which the best counts
LATE_US = 1.0  # gradients that come late, of which nobody knows


@dataclass(frozen=True)
class Judged:
    """A trajectory's mean NRMSE by CG-SENSE, at the λ that is best for it: by maps of a full scan, and by those found
    in the same samples, which is not told where gradients come late.
    """

    name: str
    error: float
    with_own_maps: float | None = None


def spiral_start(task: Task, seed: int) -> Tensor:
    """Return the best spirals of `DENSITIES`, `(shot, sample, 2)`; raises `ValueError` if the limits allow none."""
    made = [spiral_shots(task.n_shots, task.readout, task.within(), density=density) for density in DENSITIES]
    subjects = _subjects(task, seed)
    return min((places.float() for places in made), key=lambda places: mean_error(subjects, places, task.noise, seed))


def radial_start(task: Task) -> Tensor:
    """Return spokes evenly over half a turn, `(shot, sample, 2)`; raises `ValueError` if the limits allow none."""
    return radial_shots(task.n_shots, task.readout, task.within(), step=math.pi / task.n_shots).float()


def judged(task: Task, starts: Mapping[str, Tensor], points: Tensor, seed: int) -> Iterator[Judged]:
    """Judge trajectories by name, and curves of the finest level; each also with gradients too late, unknown to A."""
    subjects = _subjects(task, seed)
    late = LATE_US / task.readout.dwell_us
    for name, places in {**starts, "design": task.places(points, LEVELS - 1)}.items():
        own = mean_error_with_own_maps(subjects, places, task.noise, seed)
        yield Judged(name, mean_error(subjects, places, task.noise, seed), own)
        behind = torch.cat((places[:, :1], places[:, :-1]), 1)
        led_to = places + late * (behind - places)
        late_error = mean_error(subjects, places, task.noise, seed, led_to=led_to)
        yield Judged(f"{name}, gradients {LATE_US:g} us late", late_error)


@lru_cache(maxsize=1)  # they choose a spiral, and judge it again
def _subjects(task: Task, seed: int) -> list[Subject]:
    rng = torch.Generator().manual_seed(seed + OTHER_SEEDS)
    return [random_subject(task.matrix, task.n_coils, rng) for _ in range(JUDGING)]
