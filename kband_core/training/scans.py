"""Where the planes of a training come from, each a pure function of the seed and its place."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
import torch

from kband_core.fourier import fast_lengths
from kband_core.training.dataset import Plane, PlaneFile
from kband_core.training.recipe import ProceduralRecipe
from kband_core.training.simulation.procedural import procedural_plane
from kband_core.training.simulation.procedural_shots import procedural_spirals, procedural_spokes

SIMULATED = {"cartesian": procedural_plane, "radial": procedural_spokes, "spiral": procedural_spirals}
MET_AGAIN_AFTER = 16  # steps, where endless scans are used more than once


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
    """Procedural scans without end; all scans of a step share matrix size and number of coils."""

    recipe: ProceduralRecipe
    seed: int

    def steps_per_epoch(self, batch: int) -> int | None:
        return None

    def draw(self, step: int, place: int, batch: int) -> tuple[Plane, torch.Generator, float]:
        block, turn = divmod(step, MET_AGAIN_AFTER * self.recipe.uses)
        fresh = block * MET_AGAIN_AFTER + turn % MET_AGAIN_AFTER
        plane = _endless_plane(self.recipe, self.seed, fresh, fresh * batch + place)
        return plane, generator(self.seed, "example", step * batch + place), _angle(self.seed, fresh * batch + place)


def _endless_plane(recipe: ProceduralRecipe, seed: int, step: int, scan: int) -> Plane:
    known = _planes_of_step(recipe, seed, step)
    if scan not in known:
        size = _size(recipe, generator(seed, "size", step))
        known[scan] = _simulated(recipe, *size, generator(seed, "scan", scan))
    return known[scan]


@lru_cache(maxsize=2 * MET_AGAIN_AFTER)  # steps, so that batches of any size are met again
def _planes_of_step(recipe: ProceduralRecipe, seed: int, step: int) -> dict[int, Plane]:
    """By number, filled as they are drawn."""
    return {}


def _simulated(recipe: ProceduralRecipe, shape: tuple[int, int], n_coils: int, rng: torch.Generator) -> Plane:
    return SIMULATED[recipe.trajectory](shape, n_coils=n_coils, rng=rng, objects=recipe.objects)


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
            plane = _simulated(self.recipe, *self._sizes[index], generator(self.seed, "scan", index))
            self._made[index] = replace(plane, subject=f"procedural {index}")
        return self._made[index]


def scan_angle(seed: int, plane: Plane) -> float:
    """Return the angle at which the plane's scan acquired its band, else one drawn for its subject; degrees."""
    return _angle(seed, plane.subject) if plane.angle is None else plane.angle


def _size(recipe: ProceduralRecipe, rng: torch.Generator) -> tuple[tuple[int, int], int]:
    def between(low: int, high: int) -> int:
        return int(torch.randint(low, high + 1, (), generator=rng))

    lengths = fast_lengths(*recipe.matrix) or range(recipe.matrix[0], recipe.matrix[1] + 1)
    sides = [lengths[between(0, len(lengths) - 1)] for _ in range(2)]
    return (sides[0], sides[1]), between(*recipe.coils)


def _angle(seed: int, scan: int | str) -> float:
    return 180 * float(torch.rand((), generator=generator(seed, "angle", scan), dtype=torch.float64))
