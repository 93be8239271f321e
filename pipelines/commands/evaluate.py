"""`kband evaluate`: how far a network and its peers are from the image of all lines, or shots."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipelines.commands.names import model_names

if TYPE_CHECKING:
    from pipelines.evaluation.evaluation import Judged

SHOWN = {"nmse": "NMSE", "psnr": "PSNR dB", "ssim": "SSIM", "nmse_outer": "NMSE r>0.5", "authors_nmse": "authors_nmse",
         "authors_psnr": "authors_psnr", "authors_ssim": "authors_ssim"}  # fmt: skip


@click.command()
@click.argument("model", shell_complete=model_names)
@click.argument("raws", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RAW.h5...")
@click.option("--acceleration", type=click.FloatRange(1), default=4.0, show_default=True,
              help="All lines, or shots, over those kept; of equispaced lines, not counting calibration lines.")
@click.option("--acs", type=click.IntRange(4), default=24, show_default=True,
              help="Calibration lines of a Cartesian scan.")
@click.option("--sampling", type=click.Choice(["lines", "equispaced"]), default="lines", show_default=True,
              help="Random lines, denser in the centre, or equispaced ones, of a Cartesian scan.")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True, help="Seed of the lines.")
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), metavar="OUT.csv",
              help="Write the table as CSV.")
@click.option("--picture", type=click.Path(path_type=Path, dir_okay=False), metavar="OUT.png",
              help="Draw every image above its error, and the sampling.")
def evaluate(
    model: str, raws: tuple[Path, ...], acceleration: float, acs: int, sampling: str, seed: int, output: Path | None,
    picture: Path | None,
) -> None:  # fmt: skip
    """Leave lines out of fully sampled raw files, or shots out of others, and compare MODEL with its peers.

    MODEL is a name of the registry, or the card of a model (NAME.yaml). The reference is the image of all lines, made
    by the same gadgets and combined by maps. NMSE, PSNR and SSIM (7 x 7) are those of magnitudes, in the range of the
    reference; r is the distance from the centre of k-space over that to the end of an axis; authors_ are the metrics
    of the published k-band code, which are not those of their names. Images of nothing but noise are left out.

    Of radial and spiral scans shots are kept evenly by their angle, and the reference is CG-SENSE of all that there
    are: where these are fewer than Nyquist asks for, that image has errors of its own.

    Exits with 1 if a file cannot be evaluated; the others are all the same.
    """
    import torch

    from gadgets.errors import PipelineError, ScanError
    from kband_core.training.undersampling import Undersampling
    from pipelines.evaluation.along_trajectories import evaluate_along, is_along_a_trajectory
    from pipelines.evaluation.evaluation import evaluate as judge
    from pipelines.evaluation.evaluation import image_of
    from pipelines.files.finished_file import FileProblem, refuse_other_format

    try:  # before minutes of work
        for path, suffix in ((output, ".csv"), (picture, ".png")):
            if path is not None:
                refuse_other_format(path, suffix)
    except FileProblem as problem:
        raise click.ClickException(str(problem)) from problem
    undersampling = Undersampling(line_acceleration=acceleration, acs_lines=acs, sampling=sampling)
    found: list[Judged] = []
    n_failed = 0
    for path in raws:
        try:
            along, rng = is_along_a_trajectory(path), torch.Generator().manual_seed(seed)
            with _registered(model) as name:
                if along:
                    evaluation = evaluate_along(name, path, acceleration, rng=rng)
                else:
                    evaluation = judge(name, path, undersampling, rng=rng)
        except (FileProblem, PipelineError, ScanError, ValueError) as problem:
            click.echo(f"Error: {path}: {str(problem).removeprefix(f'{path}: ')}", err=True)
            n_failed += 1
            continue
        of_file = sorted(evaluation.judged, key=image_of)  # methods keep their order
        left_out = f"; {evaluation.n_empty} of nothing but noise left out" if evaluation.n_empty else ""
        kept = f"R = {of_file[0].acceleration:.2f} with {acs} calibration lines, {sampling}"
        click.echo(f"{path.name}: {of_file[0].sampling.told()[0] if along else kept}{left_out}")
        if source := of_file[0].sampling.scan.encodings[0].source:
            click.echo(f"  {source}")
        _print(of_file)
        found += of_file
    try:
        if output and found:
            _write(output, found)
        if picture and found:
            _draw(picture, found)
    except FileProblem as problem:
        raise click.ClickException(str(problem)) from problem
    if n_failed:
        raise SystemExit(1)


@contextmanager
def _registered(model: str) -> Iterator[str]:
    """Give the name of a model; where its card was given, let the registry find it."""
    from kband_core.model_folders import searched_first

    card = Path(model)
    is_card = card.suffix == ".yaml" and card.is_file()
    with searched_first(card.parent) if is_card else nullcontext():
        yield card.stem if is_card else model


def _name(one: Judged) -> str:
    counters = {"slice": one.slice, "contrast": one.contrast, "repetition": one.repetition, "partition": one.partition}
    return " ".join(f"{name} {number}" for name, number in counters.items() if number or name == "slice")


def _print(found: Sequence[Judged]) -> None:
    rows = [("image", "method", *SHOWN.values())]
    rows += [(_name(one), one.method, *(f"{one.figures[key]:.4g}" for key in SHOWN)) for one in found]
    methods = dict.fromkeys(one.method for one in found)
    for method in methods if len(found) > len(methods) else ():
        of_method = [one.figures for one in found if one.method == method]
        means = (sum(figures[key] for figures in of_method) / len(of_method) for key in SHOWN)
        rows.append((f"mean of {len(of_method)}", method, *(f"{mean:.4g}" for mean in means)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _write(path: Path, found: Sequence[Judged]) -> None:
    from pipelines.files.finished_file import finished_file

    columns = ("file", "slice", "contrast", "repetition", "partition", "method", "acceleration")
    with finished_file(path) as unfinished, unfinished.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow((*columns, *SHOWN))
        for one in found:
            table.writerow((*(getattr(one, name) for name in columns), *(one.figures[key] for key in SHOWN)))
    click.echo(f"{path}: {len(found)} rows")


def _draw(path: Path, found: Sequence[Judged]) -> None:
    from pipelines.files.finished_file import finished_file
    from pipelines.pictures.error_maps import error_maps

    with finished_file(path) as unfinished:
        error_maps(found).savefig(unfinished, format="png")
    click.echo(f"{path}: images, sampling and errors")
