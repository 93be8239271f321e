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
from kband_brains import ACS_LINES, BRAINS, ONE_LINE_LEFT, PROTOCOLS, Chains, Figures, figures_of
from measure import data_option, print_conditions, print_table
from torch import Tensor

from gadgets.items import ReconBuffer
from gadgets.recon.combined import sum_of_squares
from gadgets.scan import Scan
from kband_core.fourier import to_image
from kband_core.model_folders import searched_first
from kband_core.training.recipe import Recipe, read_recipe
from kband_core.training.trainer import train
from kband_core.training.undersampling import Undersampling
from pipelines.evaluation.undersampled_scan import undersample
from pipelines.files.mrd_stream import open_raw

SHIPPED = "simulated_small"
TAUGHT_ON = ("textured", "mixed")
MATRIX = [64, 96]  # of the scans to train on; those of simulated_small have up to 160, and take three times as long
TOLD_EVERY = 20  # steps


@dataclass(frozen=True)
class Row:
    """Figures of every network on one scan and pattern, means of slices."""

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
    for brain, stem in BRAINS.items():
        with open_raw(data / f"{stem}.h5") as raw:
            scan, lines = Scan.from_xml(raw.header_xml), list(raw)
            chains = Chains(SHIPPED, unwhitened=False)
            reference = chains.pixels("sense", scan, lines)[0]
            buffers = chains.buffers(scan, lines)
            rss = torch.cat([sum_of_squares(to_image(buffer.planes()[0]), buffer).abs() for buffer in buffers])
            certain = torch.cat([_certain(buffer) for buffer in buffers])
            for sampling, acceleration in PROTOCOLS:
                if (brain, sampling, acceleration) == ONE_LINE_LEFT:
                    continue
                undersampling = Undersampling(line_acceleration=acceleration, acs_lines=ACS_LINES, sampling=sampling)
                thinned = undersample(raw.header_xml, undersampling, rng=torch.Generator().manual_seed(0))
                figures = {}
                for name in (SHIPPED, *map(_name, TAUGHT_ON)):
                    with searched_first(folder):
                        image = Chains(name, unwhitened=False).pixels("kband", thinned.scan, thinned.lines(lines))[0]
                    figures[name] = figures_of(image * certain, reference * certain, rss * certain)
                yield Row(f"{brain}, {sampling} R={acceleration}", figures)


def _certain(buffer: ReconBuffer) -> Tensor:
    """Where maps of all lines are certain: the head, without the air; `(slice, y, x)`."""
    return (buffer.csm[0, :, 0] != 0).any(-3)


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
