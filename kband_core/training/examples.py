"""The examples of every step, each a pure function of the seed, the step and its place in the batch."""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from kband_core.threads import single_thread
from kband_core.training.dataset import Plane, PlaneFile
from kband_core.training.example import Example
from kband_core.training.procedural import procedural_plane
from kband_core.training.recipe import ProceduralRecipe, SupervisionRecipe
from kband_core.training.supervision import Supervision

AHEAD = 2  # batches that a worker prepares


def generator(*numbers: int | str) -> torch.Generator:
    """Return a random generator that these numbers determine, unlike that of any others."""
    digest = hashlib.sha256(repr(numbers).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "little"))


class Scans(Protocol):
    """Where planes come from."""

    def draw(self, step: int, place: int, batch: int) -> tuple[Plane, torch.Generator, float]:
        """The plane of a place in a step's batch, its generator, and the angle of its scan in degrees."""

    def steps_per_epoch(self, batch: int) -> int | None:
        """Steps after which every plane was seen; None if there is no end of planes."""


@dataclass(frozen=True)
class EndlessScans:
    """A new procedural scan for every example; all scans of a step share matrix size and number of coils."""

    recipe: ProceduralRecipe
    seed: int

    def steps_per_epoch(self, batch: int) -> int | None:
        return None

    def draw(self, step: int, place: int, batch: int) -> tuple[Plane, torch.Generator, float]:
        shape, n_coils = _size(self.recipe, generator(self.seed, "size", step))
        rng = generator(self.seed, "example", step * batch + place)
        has_phases = step >= self.recipe.tissue_phase_from
        plane = procedural_plane(shape, n_coils=n_coils, rng=rng, tissue_phase=has_phases)
        return plane, rng, _angle(self.seed, step * batch + place)


class StoredScans:
    """Planes of a file, or a number of procedural scans; every epoch in another order, in batches of one shape."""

    def __init__(self, planes: PlaneFile | ProceduralScans, indices: list[int], seed: int) -> None:
        self.planes, self.indices, self.seed = planes, indices, seed
        self._order: tuple[int, int, list[list[int]]] | None = None

    def steps_per_epoch(self, batch: int) -> int:
        return len(self._batches(0, batch))

    def draw(self, step: int, place: int, batch: int) -> tuple[Plane, torch.Generator, float]:
        epoch, number = divmod(step, self.steps_per_epoch(batch))
        index = self._batches(epoch, batch)[number][place]
        plane = self.planes[index]
        return plane, generator(self.seed, "example", step * batch + place), scan_angle(self.seed, plane)

    def _batches(self, epoch: int, batch: int) -> list[list[int]]:
        """Shuffle the planes of one shape, cut them into batches, fill up the last; then shuffle the batches."""
        if self._order is None or self._order[:2] != (epoch, batch):
            rng = np.random.default_rng([self.seed, epoch])
            kinds: dict[Any, list[int]] = {}
            for index in self.indices:
                kinds.setdefault(self.planes.shapes[index], []).append(index)
            batches = []
            for kind in kinds.values():
                shuffled = rng.permutation(kind).tolist()
                filled = np.resize(shuffled, -(-len(kind) // batch) * batch)
                batches += filled.reshape(-1, batch).tolist()
            self._order = epoch, batch, [batches[number] for number in rng.permutation(len(batches))]
        return self._order[2]


class ProceduralScans:
    """A number of procedural scans, made when first asked for and kept; scan by scan another subject.

    `run` consecutive scans share matrix size and number of coils, so that they can be batched.
    """

    def __init__(self, recipe: ProceduralRecipe, n_scans: int, *, seed: int | str, run: int) -> None:
        self.recipe, self.seed, self._n_scans = recipe, seed, n_scans
        self._sizes = [_size(recipe, generator(seed, "size", index // run)) for index in range(n_scans)]
        self.shapes = [(n_coils, *shape) for shape, n_coils in self._sizes]
        self._made: dict[int, Plane] = {}

    def __len__(self) -> int:
        return self._n_scans

    def __getitem__(self, index: int) -> Plane:
        if index not in self._made:
            shape, n_coils = self._sizes[index]
            plane = procedural_plane(shape, n_coils=n_coils, rng=generator(self.seed, "scan", index))
            self._made[index] = replace(plane, subject=f"procedural {index}")
        return self._made[index]


@dataclass(frozen=True)
class Batches(Dataset[Any]):
    """`batches[step]`: this process' examples of a step, stacked; or the `ValueError` that came of them."""

    scans: Scans
    supervision: SupervisionRecipe
    batch: int
    rank: int = 0
    n_ranks: int = 1

    def __getitem__(self, step: int) -> Example | ValueError:
        local = self.batch // self.n_ranks
        try:
            with single_thread():
                places = range(self.rank * local, (self.rank + 1) * local)
                return stack([self._example(step, place) for place in places])
        except ValueError as error:
            return error  # raised in a worker it would arrive as a traceback

    def _example(self, step: int, place: int) -> Example:
        plane, rng, angle = self.scans.draw(step, place, self.batch)
        return self._supervise(plane, rng, angle)

    @cached_property
    def _supervise(self) -> Supervision:
        return self.supervision.build()


def stack(examples: list[Example]) -> Example:
    """Give examples of one shape a leading batch axis."""
    names = [field.name for field in fields(examples[0])]
    return type(examples[0])(**{name: torch.stack([getattr(one, name) for one in examples]) for name in names})


def to_device(example: Example, device: torch.device) -> Example:
    """Move an example to a device."""
    return type(example)(**{field.name: getattr(example, field.name).to(device) for field in fields(example)})


def scan_angle(seed: int, plane: Plane) -> float:
    """Return the angle at which the plane's scan acquired its band, else one drawn for its subject; degrees."""
    return _angle(seed, plane.subject) if plane.angle is None else plane.angle


def load(batches: Batches, first_step: int, n_steps: int, *, n_workers: int) -> Iterator[Example]:
    """Iterate over the batches of steps `first_step` to `n_steps` - 1, made ahead by `n_workers` processes."""
    loader = DataLoader(
        batches, batch_size=None, sampler=range(first_step, n_steps), num_workers=n_workers,
        prefetch_factor=AHEAD if n_workers else None, worker_init_fn=_leave_signals_to_the_trainer,
    )  # fmt: skip
    for example in loader:
        if isinstance(example, ValueError):
            raise example
        yield example


def _leave_signals_to_the_trainer(_: int) -> None:
    """A signal to the whole process group must let the trainer finish its step: a worker then ends without a word."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))


def _size(recipe: ProceduralRecipe, rng: torch.Generator) -> tuple[tuple[int, int], int]:
    def between(low: int, high: int) -> int:
        return int(torch.randint(low, high + 1, (), generator=rng))

    return (between(*recipe.matrix), between(*recipe.matrix)), between(*recipe.coils)


def _angle(seed: int, scan: int | str) -> float:
    return 180 * float(torch.rand((), generator=generator(seed, "angle", scan), dtype=torch.float64))
