"""`kband uncertainty`: a head that says how large the errors of a trained network's images are."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from tqdm import tqdm

from pipelines.commands.names import model_names


@click.command()
@click.argument("model", shell_complete=model_names)
@click.option("-o", "--output", "folder", type=click.Path(path_type=Path, file_okay=False), default="models",
              show_default=True, help="Folder for the model, its head and its card.")
@click.option("--scans", type=click.IntRange(1), default=300, show_default=True, help="Simulated scans that teach.")
@click.option("--held-out", type=click.IntRange(18), default=300, show_default=True,
              help="Others that calibrate: one half the table, one half the bound.")
@click.option("--steps", type=click.IntRange(1), default=1500, show_default=True, help="Steps of the training.")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True, help="Seed of all of it.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
def uncertainty(model: str, folder: Path, scans: int, held_out: int, steps: int, seed: int, device: str) -> None:
    """Train a head beside MODEL, a name of the registry, which stays as it is, and calibrate it.

    Writes MODEL.uncertainty.safetensors, and MODEL.yaml and MODEL.safetensors beside it: name the folder in
    KBAND_MODELS. Scans are simulated as those that MODEL was trained on, and of flat tissues and small matrices
    besides. The bound is that of the NMSE against the image of all samples with their noise, through the same coil
    maps: 90 % of the held-out scans keep it, and as many others that are like them.
    """
    from kband_core.models import load_card
    from kband_core.training.uncertainty.trained_head import train_head

    try:
        folder.mkdir(parents=True, exist_ok=True)
        load_card(model)
        with tqdm(delay=0.5, file=sys.stderr) as bar:
            card = train_head(
                model, folder, n_scans=scans, n_held_out=held_out, steps=steps, seed=seed, device=device,
                tell=_Telling(bar),
            )  # fmt: skip
    except (ValueError, OSError) as problem:
        raise click.ClickException(str(problem)) from problem
    told = card.uncertainty
    click.echo(
        f"{model}: {told.parameters} parameters; NMSE at most {told.factor:.2f} times the predicted one in "
        f"{100 * told.level:g} % of {told.n_scans} held-out scans"
    )
    slopes = ", ".join(f"{slope:.2f}" for slope in card.reliability["image"].slopes)
    click.echo(f"  mean error over σ, from small σ to large: {slopes}")


class _Telling:
    """Show what is being done in a progress bar."""

    def __init__(self, bar: tqdm) -> None:
        self._bar, self._what, self._loss = bar, "", 0.0

    def __call__(self, what: str, done: int, of_all: int, loss: float | None) -> None:
        if what != self._what:
            self._what, self._loss = what, loss or 0.0
            self._bar.reset(of_all)
            self._bar.set_description(what)
        if loss is not None:
            self._loss += 0.02 * (loss - self._loss)
            self._bar.set_postfix({"loss": f"{self._loss:.3f}"}, refresh=False)
        self._bar.update(done - self._bar.n)
