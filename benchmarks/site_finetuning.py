"""What ships, gone on with on the undersampled scans of a site, and judged on a person whom it has not seen."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import torch
from measure import data_option, print_conditions, print_table
from torch import nn

from gadgets.scan import Scan
from kband_core.model_folders import searched_first
from kband_core.models import load_model
from kband_core.training.dataset import Plane, PlaneFile, PlaneWriter
from kband_core.training.processes import processes
from kband_core.training.recipe import Recipe, read_recipe
from kband_core.training.subjects import fold_subjects
from kband_core.training.trainer import train
from kband_core.training.undersampling import Undersampling
from kband_core.training.validation import Validation
from pipelines.chain.pipeline import Pipeline, installed_xml
from pipelines.chain.run import run
from pipelines.chain.verdict import Verdict
from pipelines.evaluation.undersampled_scan import undersample
from pipelines.files.mrd_stream import open_raw

PERSONS = {  # whose scans: of one person none teaches what another is judged by
    "brain_flash_16ch": "flash", "brain_flash_bodycoil_2ch": "flash", "brain_t1_8ch": "t1",
    "brain_prescan_16ch": "prescan", "brain_se_2avg_noise_2ch": "se", "head_gre_32ch_4slices": "gre",
}  # fmt: skip
ACCELERATION, FEW_LINES = 3, 96  # of a site's scans; below so many lines of k-space 16 calibrate, else 24
PROTOCOLS = (("lines", 3), ("lines", 4), ("equispaced", 3), ("equispaced", 4))  # that judge
WAYS = {
    "SSDU": {"name": "ssdu", "line_acceleration": ACCELERATION, "acs_lines": 16, "sampling": "lines"},
    "bands": {"name": "kband", "band_acceleration": 4, "line_acceleration": ACCELERATION, "acs_lines": [16, 24],
              "sampling": "lines"},
}  # fmt: skip
FIGURES = ("nmse", "psnr", "ssim")


@dataclass(frozen=True)
class Row:
    """Means of NMSE, PSNR in dB and SSIM of one person's scans under one protocol, by what made the images."""

    person: str
    protocol: tuple[str, int]
    figures: dict[str, tuple[float, ...]]


@click.command(context_settings={"show_default": True})
@data_option
@click.option("--steps", default=60, help="Of each training, one plane a step.")
@click.option("--rate", default=1e-4, help="The highest learning rate.")
@click.option("--seed", default=0)
def main(data: Path, steps: int, rate: float, seed: int) -> None:
    """Print a table; nothing that was trained is kept."""
    recipe = read_recipe("site_ssdu").changed("optimiser", steps=steps, learning_rate=rate)
    recipe = recipe.changed("validation", every=steps).changed(seed=seed)
    print_conditions(
        f"{recipe.pretrained}, {steps} steps of 1 plane, learning rate {rate:g} (one cycle), seed {seed}; weights\n"
        f"are those of the last step. SSDU: planes of raw files in which one line of {ACCELERATION} was left, at\n"
        "random, before they came to the chain. Bands: bands of R=4 masked from full scans, lines left out alike. One\n"
        "training for each person, on the scans of all others. Judged: his full scans, lines left out at random or\n"
        "equispaced, R=3 and 4, 16 to 24 ACS lines; magnitudes against those of all lines, means of slices."
    )
    with tempfile.TemporaryDirectory() as folder:
        rows = list(_judged_persons(recipe, data, Path(folder)))
    makers = list(rows[0].figures)
    for heading, key in (("scans of", lambda row: row.person), ("judged by", lambda row: _named(row.protocol))):
        names = list(dict.fromkeys(map(key, rows)))
        table = [_cells(name, [row for row in rows if key(row) == name]) for name in names]
        print_table((heading, *(f"{maker}: NMSE, PSNR, SSIM" for maker in makers)), [*table, _cells("mean", rows)])


def _judged_persons(recipe: Recipe, data: Path, folder: Path) -> Iterator[Row]:
    sources = {"SSDU": folder / "undersampled.h5", "bands": folder / "full.h5"}
    for way, path in sources.items():
        with PlaneWriter(path) as writer:
            for stem, person in PERSONS.items():
                for plane in _planes(data / f"{stem}.h5", person, thins=way == "SSDU", seed=recipe.seed):
                    writer.append(plane)
    full, n_folds = PlaneFile(sources["bands"]), len(set(PERSONS.values()))
    shipped = load_model(recipe.pretrained)
    for fold in range(n_folds):
        _, (person,) = fold_subjects(full.subjects, seed=recipe.seed, fold=fold, n_folds=n_folds)
        networks: dict[str, nn.Module] = {"before": shipped}
        for way, path in sources.items():
            own = recipe.changed(supervision=WAYS[way]).changed("data", planes=str(path))
            networks[way] = _trained(own, folder / f"{way} {person}", (fold, n_folds))
        indices = [number for number, subject in enumerate(full.subjects) if subject == person]
        for protocol in PROTOCOLS:
            yield Row(person, protocol, _judge(recipe, full, indices, protocol, networks))
        click.echo(f"{person}: trained and judged", err=True)


def _planes(path: Path, person: str, *, thins: bool, seed: int) -> Iterator[Plane]:
    """The planes of a raw file as `kband prepare` makes them, of all lines or of those of an undersampled scan."""
    with open_raw(path) as raw:
        scan, lines = Scan.from_xml(raw.header_xml), raw
        if thins:
            acs_lines = 16 if scan.encodings[0].encoded_matrix[1] < FEW_LINES else 24
            undersampling = Undersampling(line_acceleration=ACCELERATION, acs_lines=acs_lines)
            thinned = undersample(raw.header_xml, undersampling, rng=torch.Generator().manual_seed(seed))
            scan, lines = thinned.scan, thinned.lines(raw)
        for plane in run(Pipeline.from_xml(installed_xml("prepare")), scan, lines, Verdict()):
            yield Plane(plane.kspace, plane.mask, plane.csm, person, source=path.name, slice=plane.slice)


def _trained(recipe: Recipe, folder: Path, fold: tuple[int, int]) -> nn.Module:
    """The network after the last step; the person held out is judged once, there, so nothing is chosen by him."""
    train(recipe, folder, device="cpu", fold=fold, n_workers=0)
    with searched_first(folder):
        return load_model(recipe.name)


def _judge(
    recipe: Recipe, planes: PlaneFile, indices: Iterable[int], protocol: tuple[str, int], networks: dict[str, nn.Module]
) -> dict[str, tuple[float, ...]]:
    sampling, acceleration = protocol
    supervision = {"name": "supervised", "sampling": sampling, "line_acceleration": acceleration, "acs_lines": [16, 24]}
    validation = Validation(recipe.changed(supervision=supervision), planes, list(indices))
    with processes("cpu") as own:
        found = {name: validation.judge(network, own) for name, network in networks.items()}
    sense = tuple(found["before"][f"sense_{name}"] for name in FIGURES)
    return {"SENSE": sense, **{name: tuple(figures[each] for each in FIGURES) for name, figures in found.items()}}


def _cells(name: str, rows: list[Row]) -> tuple[str, ...]:
    """Means over rows, and behind them what PSNR gains over the network as it was."""
    cells = [name]
    psnr_before = sum(row.figures["before"][1] for row in rows) / len(rows)
    for maker in rows[0].figures:
        nmse, psnr, ssim = (sum(row.figures[maker][n] for row in rows) / len(rows) for n in range(len(FIGURES)))
        gain = f" ({psnr - psnr_before:+.2f})" if maker in WAYS else ""
        cells.append(f"{nmse:.4f}, {psnr:.2f}{gain}, {ssim:.3f}")
    return tuple(cells)


def _named(protocol: tuple[str, int]) -> str:
    return "{} R={}".format(*protocol)


if __name__ == "__main__":
    main()
