"""Whether slices of real heads among the scans to train on help on real brains: one network, taught on both kinds."""

from __future__ import annotations

import logging
import statistics
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import click
import torch
from measure import data_option, fitted, print_conditions, print_table
from thinned_brains import Chains, whole
from torch import Tensor

from kband_core.metrics import nmse, psnr
from kband_core.model_folders import searched_first
from kband_core.training.recipe import Recipe, read_recipe
from kband_core.training.trainer import train
from kband_core.training.undersampling import Undersampling
from pipelines.evaluation.undersampled_scan import undersample
from pipelines.files.mrd_stream import open_raw

BRAINS = {"t1": "brain_t1_8ch", "flash": "brain_flash_16ch", "gre": "head_gre_32ch_4slices"}
PROTOCOLS = (("lines", 4), ("lines", 3), ("equispaced", 4), ("equispaced", 3))
ONE_LINE_LEFT = ("gre", "lines", 4)  # 25 of 100 lines, 24 of them ACS: nothing to reconstruct from
ACS_LINES = 24
SHIPPED = "simulated_small"
TAUGHT_ON = ("textured", "mixed")
MATRIX = [64, 96]  # of the scans to train on; those of simulated_small have up to 160, and take three times as long
TOLD_EVERY = 20  # steps


@dataclass(frozen=True)
class Figures:
    """NMSE, and PSNR in dB, of magnitudes against those of all lines; means of slices."""

    nmse: float
    psnr: float


@dataclass(frozen=True)
class Row:
    """Figures of every network on one scan and pattern."""

    label: str
    figures: dict[str, Figures]


@click.command(context_settings={"show_default": True})
@data_option
@click.option("--steps", default=120, help="Of two scans each, for either network.")
@click.option("--rate", default=2e-4, help="Highest learning rate.")
@click.option("-o", "--output", default="anatomy", type=click.Path(path_type=Path), help="Folder of the networks.")
def main(data: Path, steps: int, rate: float, output: Path) -> None:
    """Networks that stand in the folder are not trained again."""
    logging.disable(logging.WARNING)
    for objects in TAUGHT_ON:
        _teach(objects, steps, rate, output)
    print_conditions(
        f"{SHIPPED} as it ships, and taught {steps} more steps of 2 scans of {MATRIX[0]} to {MATRIX[1]} (rate up to\n"
        f"{rate:g}, seed 0) of textured objects, or of mixed ones: half of them slices of real heads. Pipeline\n"
        f"kband, {ACS_LINES} ACS lines, seed 0, all slices: means. PSNR in dB within the head, against all lines\n"
        "through pipeline sense."
    )
    rows = list(_rows(data, output))
    names = (SHIPPED, *map(_name, TAUGHT_ON))
    cells = [(row.label, *_cells(row, names)) for row in rows]
    mean = [statistics.mean(row.figures[name].psnr - row.figures[SHIPPED].psnr for row in rows) for name in names[1:]]
    header = ("scan", "shipped: NMSE", "PSNR", *(f"{kind}: {what}" for kind in TAUGHT_ON for what in ("NMSE", "dB")))
    print_table(header, [*cells, ("mean", "", "", "", f"{mean[0]:+.3f}", "", f"{mean[1]:+.3f}")])


def _teach(objects: str, steps: int, rate: float, folder: Path) -> None:
    recipe = _recipe(objects, steps, rate)
    if (folder / f"{recipe.name}.safetensors").exists():
        return
    start = time.perf_counter()

    def tell(step: int, n_steps: int, loss: float, figures: Mapping[str, float]) -> None:
        if step % TOLD_EVERY == 0:
            click.echo(f"{recipe.name}: step {step} of {n_steps}, {time.perf_counter() - start:.0f} s", err=True)

    outcome = train(recipe, folder, device="cpu", n_workers=0, tell=tell)
    click.echo(f"{recipe.name}: {outcome.step} steps, {time.perf_counter() - start:.0f} s, {dict(outcome.figures)}")


def _recipe(objects: str, steps: int, rate: float) -> Recipe:
    recipe = read_recipe(SHIPPED).changed(name=_name(objects), pretrained=SHIPPED)
    procedural = {**recipe.data.procedural.model_dump(mode="json"), "objects": objects, "matrix": MATRIX}
    recipe = recipe.changed("data", procedural=procedural)
    recipe = recipe.changed("optimiser", learning_rate=rate, steps=steps, ema=0.98)
    return recipe.changed("validation", every=steps, planes=4)


def _name(objects: str) -> str:
    return f"taught_on_{objects}"


def _rows(data: Path, folder: Path) -> Iterator[Row]:
    chains = Chains()
    for brain, stem in BRAINS.items():
        path = data / f"{stem}.h5"
        reference, mapped = whole(chains, path)
        with open_raw(path) as raw:
            for sampling, acceleration in PROTOCOLS:
                if (brain, sampling, acceleration) == ONE_LINE_LEFT:
                    continue
                undersampling = Undersampling(line_acceleration=acceleration, acs_lines=ACS_LINES, sampling=sampling)
                thinned = undersample(raw.header_xml, undersampling, rng=torch.Generator().manual_seed(0))
                figures = {}
                for name in (SHIPPED, *map(_name, TAUGHT_ON)):
                    with searched_first(folder):
                        told = {"KBandRecon.model": name}
                        image, fallback, _ = chains.pixels("kband", thinned.scan, thinned.lines(raw), told)
                    if fallback is not None:
                        raise click.ClickException(f"{brain}, {sampling} R={acceleration}: {fallback}")
                    figures[name] = _figures(image * mapped, reference)
                yield Row(f"{brain}, {sampling} R={acceleration}", figures)


def _figures(image: Tensor, reference: Tensor) -> Figures:
    slices = [(fitted(one, other), other) for one, other in zip(image, reference, strict=True)]
    return Figures(*(statistics.mean(float(metric(*each)) for each in slices) for metric in (nmse, psnr)))


def _cells(row: Row, names: tuple[str, ...]) -> list[str]:
    """NMSE of each network; PSNR of the first, and by how much the others differ from it."""
    first = row.figures[names[0]]
    others = [
        cell for name in names[1:]
        for cell in (f"{row.figures[name].nmse:.5f}", f"{row.figures[name].psnr - first.psnr:+.2f}")
    ]  # fmt: skip
    return [f"{first.nmse:.5f}", f"{first.psnr:.2f}", *others]


if __name__ == "__main__":
    main()
