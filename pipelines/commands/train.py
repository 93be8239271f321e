"""`kband train`: a recipe in, weights and a model card out."""

from __future__ import annotations

import math
import os
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import click
from click.core import ParameterSource
from tqdm import tqdm

from kband_core.plural import counted
from pipelines.commands.names import model_names, recipe_names

NOT_FOR = {  # kind of recipe → options that it cannot honour: it simulates its scans, on a CPU
    "water_fat": ("planes", "pretrained", "fold", "folds", "device", "n_workers"),
    "line_evaluator": (
        "planes", "pretrained", "fold", "folds", "device", "n_workers", "resume", "checkpoint_minutes", "minutes",
    ),
}  # fmt: skip
HONOURED = {"device": ("auto", "cpu"), "n_workers": (0,)}  # what such recipes do anyway


@click.command()
@click.argument("recipe", shell_complete=recipe_names)
@click.option("-o", "--output", "folder", type=click.Path(path_type=Path, file_okay=False), default="models",
              show_default=True, help="Folder for weights, card, log and checkpoint.")
@click.option("--planes", type=click.Path(path_type=Path), metavar="PLANES.h5",
              help="Train on this file of kband prepare instead of the recipe's data.")
@click.option("--pretrained", metavar="MODEL", shell_complete=model_names,
              help="Begin with the weights of this model of the registry, of the same network, not with random ones.")
@click.option("--steps", type=click.IntRange(1), help="Train for so many steps instead of the recipe's.")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), help="Seed instead of the recipe's.")
@click.option("--fold", type=click.IntRange(0), help="Hold out the subjects of this fold, counted from 0.")
@click.option("--folds", type=click.IntRange(2), help="Number of folds.")
@click.option("--resume", is_flag=True, help="Go on from the checkpoint in the folder.")
@click.option("--overwrite", is_flag=True, help="Start anew where a checkpoint exists.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--workers", "n_workers", type=click.IntRange(0), default=1, show_default=True,
              help="Processes that prepare examples ahead, for each process that trains.")
@click.option("--checkpoint-minutes", type=click.FloatRange(0), default=10.0, show_default=True,
              help="Write a checkpoint so often; one more at every end: Ctrl-C, SIGTERM, --minutes, an error.")
@click.option("--minutes", type=click.FloatRange(0, min_open=True), default=math.inf,
              help="Stop after so long, at the next step, and write a checkpoint to go on from with --resume.")
def train(
    recipe: str, folder: Path, planes: Path | None, pretrained: str | None, steps: int | None, seed: int | None,
    fold: int | None, folds: int | None, resume: bool, overwrite: bool, device: str, n_workers: int,
    checkpoint_minutes: float, minutes: float,
) -> None:  # fmt: skip
    """Train a network by RECIPE, a YAML file or the name of a shipped recipe.

    A recipe of the kind line_evaluator trains what chooses lines for active acquisition, --steps in each round; one of
    the kind water_fat maps echoes. Both simulate their scans on the CPU and take no options of planes and devices.

    Writes NAME.safetensors and NAME.yaml, the model, from the best validation so far; log.csv, tensorboard/ if that is
    installed, and NAME.checkpoint. To use the model, name the folder in KBAND_MODELS.

    On the 4 GPUs of a machine: torchrun --no-python --nproc-per-node 4 kband train RECIPE. On 2 machines, the same on
    each: torchrun --no-python --nproc-per-node 4 --nnodes 2 --rdzv-backend c10d --rdzv-id 1 --rdzv-endpoint
    FIRST_MACHINE:29500 kband train RECIPE. The recipe's batch is that of all processes together.
    """
    from kband_core.training.lines.recipe import LinesRecipe
    from kband_core.training.peers import PEERS, no_better_than_sense
    from kband_core.training.recipe_kinds import read_any_recipe
    from kband_core.training.trainer import train as train_images
    from kband_core.training.water_fat.recipe import WaterFatRecipe
    from kband_core.training.water_fat.trainer import train_water_fat

    is_first = int(os.environ.get("RANK", "0")) == 0
    try:
        chosen = read_any_recipe(recipe)
        _refuse_options(getattr(chosen, "kind", None))
        if isinstance(chosen, LinesRecipe):
            from pipelines.commands.lines_training import train_lines

            given = {"steps": steps, "seed": seed}
            chosen = chosen.changed(**{name: value for name, value in given.items() if value is not None})
            train_lines(chosen, folder, overwrite=overwrite)
            return
        if planes is not None:
            chosen = chosen.changed("data", planes=str(planes), procedural=None)
        if pretrained is not None:
            chosen = chosen.changed(pretrained=pretrained)
        if steps is not None:
            chosen = chosen.changed("optimiser", steps=steps, epochs=None)
        if seed is not None:
            chosen = chosen.changed(seed=seed)
        if (fold is None) != (folds is None):
            raise ValueError("--fold and --folds belong together")
        if (folder / f"{chosen.name}.checkpoint").exists() and not (resume or overwrite):
            raise ValueError(f"{folder}: a checkpoint of {chosen.name} exists; --resume or --overwrite it")
        hidden = {} if is_first else {"disable": True}  # said only here: --quiet is told by the environment
        with tqdm(unit="step", delay=0.5, file=sys.stderr, **hidden) as bar, _quiet_threads():
            timing = {"checkpoint_minutes": checkpoint_minutes, "minutes": minutes, "tell": _Telling(bar)}
            if isinstance(chosen, WaterFatRecipe):
                outcome = train_water_fat(chosen, folder, resume=resume, **timing)
            else:
                of_planes = {"device": device, "fold": None if fold is None else (fold, folds), "n_workers": n_workers}
                outcome = train_images(chosen, folder, resume=resume, **of_planes, **timing)
    except ValueError as problem:
        raise click.ClickException(str(problem)) from problem
    if not is_first:
        return
    skipped = f", {outcome.n_skipped} skipped" if outcome.n_skipped else ""
    own = {name: value for name, value in outcome.figures.items() if not name.startswith(PEERS)}
    best = "".join(f", {key} {value:.4g}" for key, value in own.items())
    done = f"{outcome.step} of {counted(outcome.n_steps, 'step')}"
    click.echo(f"{chosen.name}: {done}{skipped} in {outcome.seconds:.0f} s{best}")
    for peer in PEERS:
        theirs = {name: outcome.figures.get(f"{peer}_{name}") for name in own}
        theirs = [f"{name} {value:.4g}" for name, value in theirs.items() if value is not None]
        if theirs:
            click.echo(f"  {peer.replace('_', '-')}: {', '.join(theirs)}")
    if warning := no_better_than_sense(outcome.figures):
        click.echo(f"{chosen.name}: {warning}", err=True)
    if outcome.step < outcome.n_steps:
        click.echo("stopped; go on with --resume", err=True)
    elif not outcome.figures:
        raise click.ClickException(f"{chosen.name}: no model was written, for no validation has judged one")


def _refuse_options(kind: str | None) -> None:
    """Raise `ValueError` for options on the command line that a kind of recipe cannot honour."""
    context = click.get_current_context()
    options = {each.name: each.opts[-1] for each in context.command.params}
    given = [
        options[name] for name in NOT_FOR.get(kind, ())
        if context.get_parameter_source(name) == ParameterSource.COMMANDLINE
        and context.params[name] not in HONOURED.get(name, ())
    ]  # fmt: skip
    if given:
        raise ValueError(f"{', '.join(given)}: not for a recipe of the kind {kind}, which simulates its scans on a CPU")


@contextmanager
def _quiet_threads() -> Iterator[None]:
    """What the system says to TensorBoard's thread, of a full disk say, TensorBoard raises in ours as well."""
    said_before = threading.excepthook

    def say(failed: threading.ExceptHookArgs) -> None:
        if not issubclass(failed.exc_type, OSError):
            said_before(failed)

    threading.excepthook = say
    try:
        yield
    finally:
        threading.excepthook = said_before


SHOWN = ("validation_loss", "sense_validation_loss", "nmse", "psnr", "sense_psnr", "ssim")


class _Telling:
    """Show step, loss and the latest validation in a progress bar."""

    def __init__(self, bar: tqdm) -> None:
        self._bar, self._loss = bar, 0.0

    def __call__(self, step: int, n_steps: int, loss: float, figures: Mapping[str, float]) -> None:
        bar = self._bar
        if bar.total is None:
            bar.initial, bar.n, bar.total, self._loss = step - 1, step - 1, n_steps, loss
        self._loss += 0.02 * (loss - self._loss) if loss == loss else 0.0
        shown = {"loss": self._loss, **{key: figures[key] for key in SHOWN if key in figures}}
        bar.set_postfix({key: f"{value:.4g}" for key, value in shown.items()}, refresh=False)
        bar.update(step - bar.n)
