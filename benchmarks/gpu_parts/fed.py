"""Do the CPU's cores make examples as fast as a GPU trains on them?"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from gpu_parts.here import Here
from gpu_parts.row import Row
from kband_core.training.recipe import read_recipe
from kband_core.training.trainer import train

SECONDS = 25  # of which the first few start the workers


def training_fed(here: Here) -> Iterator[Row]:
    """Steps of the recipe `simulated_textured`, as `kband train --minutes` does them; also what is written."""
    recipe = read_recipe("simulated_textured").changed(pretrained=None)
    recipe = recipe.changed("validation", every=10**6, planes=2)
    n_workers, minutes = _workers(len(os.sched_getaffinity(0))), SECONDS / 60
    if here.small:
        recipe = recipe.changed("data", procedural={"matrix": [96, 96], "coils": [4, 4]})
        recipe, n_workers, minutes = recipe.changed("optimiser", steps=1), 0, 1.0
    with tempfile.TemporaryDirectory() as folder:
        done = train(recipe, Path(folder), device=str(here.device), n_workers=n_workers, minutes=minutes)
        size = sum(path.stat().st_size for path in Path(folder).glob("*.checkpoint")) / 1e6
    note = f"{done.step} steps, {n_workers} workers, checkpoint {size:.0f} MB"
    yield Row("training step, simulated_textured by its recipe, data made meanwhile", 1e3 * done.seconds / done.step,
              note=note)  # fmt: skip


def _workers(n_cores: int) -> int:
    """A power of two, so that a worker meets its scans again; two cores are left to the trainer."""
    return 1 << max((n_cores - 2).bit_length() - 1, 0)
