"""The simulated scans of a training, each a function of the recipe's seed and its number."""

from __future__ import annotations

import torch

from kband_core.training.simulation.procedural_echoes import EchoScan, echo_scan
from kband_core.training.water_fat.examples import Slice, slice_of
from kband_core.training.water_fat.recipe import WaterFatRecipe

FIRST = {"training": 0, "validation": 800_000, "calibration": 900_000, "judged": 950_000}
PER_SEED = 1_000_000


def scan(recipe: WaterFatRecipe, purpose: str, number: int) -> EchoScan:
    """Simulate one scan for a purpose, those that are `judged` for nothing but to be judged by somebody else."""
    scans, rng = recipe.scans, torch.Generator().manual_seed(recipe.seed * PER_SEED + FIRST[purpose] + number)
    return echo_scan((scans.matrix, scans.matrix), rng=rng, n_echoes=scans.echoes, coils=scans.coils,
                     acceleration=scans.acceleration, noise=scans.noise)  # fmt: skip


def slices(recipe: WaterFatRecipe, purpose: str, count: int) -> list[Slice]:
    """Simulate scans, and start on each as at work: about half a second each."""
    return [slice_of(scan(recipe, purpose, number)) for number in range(count)]
