"""`kband evaluate`: how far a network and its peers are from the image of all lines."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipelines.commands.many_files import cluster_option, resume_option
from pipelines.commands.names import model_names
from pipelines.commands.parameters import parameters_of

if TYPE_CHECKING:
    from kband_core.training.undersampling import Undersampling
    from pipelines.evaluation.evaluation import Judged
    from pipelines.evaluation.scored import Scored
    from pipelines.jobs.job import Job, Outcome
    from pipelines.jobs.listener import Listener

SHOWN = {"nmse": "NMSE", "psnr": "PSNR dB", "ssim": "SSIM", "nmse_outer": "NMSE r>0.5", "authors_nmse": "authors_nmse",
         "authors_psnr": "authors_psnr", "authors_ssim": "authors_ssim"}  # fmt: skip

NETWORKS = {False: "KBandRecon", True: "NufftKBandRecon"}  # gadgets of networks on grids, and along trajectories
SETTLED = ("model", "uncertainty")  # properties that cannot be set: given as an argument; makes maps, no other image


@click.command()
@click.argument("model", shell_complete=model_names)
@click.argument("raws", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RAW.h5|FOLDER...")
@click.option("--acceleration", type=click.FloatRange(1), default=4.0, show_default=True,
              help="All lines, or shots, over those kept; of equispaced lines, not counting calibration lines.")
@click.option("--acs", type=click.IntRange(4), default=24, show_default=True,
              help="Calibration lines of a Cartesian scan.")
@click.option("--sampling", type=click.Choice(["lines", "equispaced"]), default="lines", show_default=True,
              help="Random lines, denser in the centre, or equispaced ones, of a Cartesian scan.")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True, help="Seed of the lines.")
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), metavar="OUT.csv",
              help="Write the table as CSV.")
@click.option("--parameter", "parameters", multiple=True, callback=parameters_of, metavar="GADGET.PROPERTY=VALUE",
              help="Set a property of KBandRecon, or of NufftKBandRecon, by which MODEL makes its images.")
@click.option("--picture", type=click.Path(path_type=Path, dir_okay=False), metavar="OUT.png",
              help="Draw every image above its error, and the sampling.")
@cluster_option
@resume_option
def evaluate(
    model: str, raws: tuple[Path, ...], acceleration: float, acs: int, sampling: str, seed: int, output: Path | None,
    parameters: dict[str, str], picture: Path | None, cluster: str | None, resume: bool,
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
    from kband_core.training.undersampling import Undersampling
    from pipelines.evaluation.scored import Scored
    from pipelines.files.finished_file import FileProblem, refuse_other_format
    from pipelines.jobs.fingerprint import digest_of
    from pipelines.jobs.job import Job
    from pipelines.jobs.many import Tally, files_of, in_order, outcomes
    from pipelines.jobs.parts import parts_beside
    from pipelines.jobs.record import remembered

    if resume and (output is None or picture):
        raise click.UsageError("--resume remembers figures beside OUT.csv, no images; give -o and leave --picture out")
    try:  # before minutes of work
        for path, suffix in ((output, ".csv"), (picture, ".png")):
            if path is not None:
                refuse_other_format(path, suffix)
    except FileProblem as problem:
        raise click.ClickException(str(problem)) from problem
    properties = _by_gadget(parameters)
    undersampling = Undersampling(line_acceleration=acceleration, acs_lines=acs, sampling=sampling)
    files, tally = files_of(raws), Tally()
    work = partial(evaluate_file, model, undersampling, seed, properties, picture is not None)
    if resume:
        card = digest_of(Path(model)) if _is_card(model) else model  # those of the registry are remembered anyway
        work = remembered(work, f"figures {card} {undersampling} {seed} {parameters}")
    found: list[Scored] = []
    images: list[Judged] = []
    nothing = nullcontext([Job(path, path) for path in files])  # but rows, which come back
    beside = parts_beside(output, files, kept=lambda: tally.n_good < len(files)) if resume else nothing
    try:
        with beside as jobs, outcomes(work, jobs, cluster) as done:
            for job, outcome in in_order(done, jobs):
                if tally.add(job, outcome):
                    continue
                of_file = [Scored(**row) for row in outcome.value["rows"]]
                n_empty = outcome.value["n_empty"]
                left_out = f"; {n_empty} of nothing but noise left out" if n_empty else ""
                click.echo(f"{job.path.name}: {outcome.value['kept']}{left_out}")
                if outcome.value["source"]:
                    click.echo(f"  {outcome.value['source']}")
                _print(of_file)
                found += of_file
                images += outcome.value.get("images", ())
        if output and found:
            _write(output, found)
        if picture and images:
            _draw(picture, images)
    except FileProblem as problem:
        raise click.ClickException(str(problem)) from problem
    if len(files) > 1:
        tally.summary(output or "above")
    if tally.failures:
        raise SystemExit(1)


def evaluate_file(
    model: str, undersampling: Undersampling, seed: int, properties: dict[str, dict[str, str]], with_images: bool,
    job: Job, listener: Listener,
) -> Outcome:  # fmt: skip
    """Judge every method on one file; the value holds rows of figures, and the images if they are to be drawn.

    What reading and gadgets raise is its problem.
    """
    import torch

    from gadgets.errors import PipelineError, ScanError
    from pipelines.evaluation.along_trajectories import evaluate_along, is_along_a_trajectory
    from pipelines.evaluation.evaluation import evaluate as judge
    from pipelines.evaluation.evaluation import image_of
    from pipelines.evaluation.scored import Scored
    from pipelines.files.finished_file import FileProblem
    from pipelines.jobs.job import Outcome

    try:
        along, rng = is_along_a_trajectory(job.path), torch.Generator().manual_seed(seed)
        told = properties[NETWORKS[along]]
        with _registered(model) as name:
            if along:
                acceleration = undersampling.line_acceleration
                evaluation = evaluate_along(name, job.path, acceleration, rng=rng, properties=told)
            else:
                evaluation = judge(name, job.path, undersampling, rng=rng, properties=told)
    except (FileProblem, PipelineError, ScanError, ValueError) as problem:
        return Outcome(str(problem))
    judged = sorted(evaluation.judged, key=image_of)  # methods keep their order
    first, acs, sampling = judged[0], undersampling.acs_lines, undersampling.sampling
    of_lines = f"R = {first.acceleration:.2f} with {acs} calibration lines, {sampling}"
    value = {
        "rows": [asdict(Scored.of(one)) for one in judged], "n_empty": evaluation.n_empty,
        "kept": first.sampling.told()[0] if along else of_lines,
        "source": first.sampling.scan.encodings[0].source,
    }  # fmt: skip
    return Outcome(value={**value, "images": judged} if with_images else value)


def _by_gadget(parameters: dict[str, str]) -> dict[str, dict[str, str]]:
    """Properties of each gadget of networks, by name. Raises `UsageError` for one that is none."""
    found: dict[str, dict[str, str]] = {gadget: {} for gadget in NETWORKS.values()}
    for key, value in parameters.items():
        gadget, _, name = key.partition(".")
        if gadget not in found or name in SETTLED:
            wanted = f"a property of {' or '.join(found)} expected, but {' and '.join(SETTLED)}"
            raise click.UsageError(f"--parameter {key}: {wanted}")
        found[gadget][name] = value
    return found


@contextmanager
def _registered(model: str) -> Iterator[str]:
    """Give the name of a model; where its card was given, let the registry find it."""
    from kband_core.model_folders import searched_first

    card = Path(model)
    with searched_first(card.parent) if _is_card(model) else nullcontext():
        yield card.stem if _is_card(model) else model


def _is_card(model: str) -> bool:
    return Path(model).suffix == ".yaml" and Path(model).is_file()


def _name(one: Scored) -> str:
    counters = {"slice": one.slice, "contrast": one.contrast, "repetition": one.repetition, "partition": one.partition}
    return " ".join(f"{name} {number}" for name, number in counters.items() if number or name == "slice")


def _print(found: Sequence[Scored]) -> None:
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


def _write(path: Path, found: Sequence[Scored]) -> None:
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
