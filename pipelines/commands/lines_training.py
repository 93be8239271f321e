"""What `kband train` does with a recipe of the kind `line_evaluator`."""

from __future__ import annotations

import sys
import time
from datetime import date
from pathlib import Path

import click
from tqdm import tqdm

from kband_core.models import save_model
from kband_core.training.lines.recipe import LinesRecipe
from kband_core.training.lines.trainer import simulated_scans, train_evaluator
from kband_core.training.lines.varied_scans import FEWEST, MOST


def train_lines(recipe: LinesRecipe, folder: Path, *, overwrite: bool) -> None:
    """Train a line evaluator and write its weights and card. Raises `ValueError`."""
    if (folder / f"{recipe.name}.safetensors").exists() and not overwrite:
        raise ValueError(f"{folder}: a model {recipe.name} exists; --overwrite it")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"{folder}: no folder can be made ({error.strerror})") from error
    started = time.perf_counter()
    scans = list(tqdm(simulated_scans(recipe), desc="scans", total=recipe.scans, delay=0.5, file=sys.stderr))
    with tqdm(desc="training", unit="step", delay=0.5, file=sys.stderr) as bar:
        evaluator = train_evaluator(recipe, scans, _Telling(bar))
    save_model(folder, {
        "name": recipe.name, "network": {"name": recipe.kind, "config": {"width": recipe.width}},
        "supervision": "lines", "trained_on": "simulated scans of varied objects",
        "recipe": recipe.text(), "seed": recipe.seed, "steps": recipe.rounds * recipe.steps, "date": date.today(),
        "limits": {"acceleration": (2.0, min(recipe.matrix) / recipe.acs_lines), "acs_lines": recipe.acs_lines,
                   "matrix": (min(recipe.matrix), max(recipe.matrix)), "sampling": ("lines",),
                   "coils": (FEWEST, MOST)},
    }, evaluator)  # fmt: skip
    seconds = time.perf_counter() - started
    largest = float(evaluator.margin.max())
    click.echo(f"{recipe.name}: {recipe.rounds} rounds of {recipe.steps} steps on {recipe.scans} scans in "
               f"{seconds:.0f} s; 9 of 10 held-out images have at most {largest:.2f} times the error told")  # fmt: skip


class _Telling:
    """Show step and loss."""

    def __init__(self, bar: tqdm) -> None:
        self._bar, self._loss = bar, 0.0

    def __call__(self, step: int, n_steps: int, loss: float) -> None:
        bar = self._bar
        self._loss = loss if bar.total is None else self._loss + 0.02 * (loss - self._loss)
        bar.total = n_steps
        bar.set_postfix({"loss": f"{self._loss:.4g}"}, refresh=False)
        bar.update(step - bar.n)
