"""`kband replay`: raw files in, images out."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import click
from tqdm import tqdm

from gadgets.errors import PipelineError, ScanError
from gadgets.scan import Scan
from pipelines.comparison import compare
from pipelines.mrd_file import FileProblem, ImageFile, RawFile, read_images
from pipelines.mrd_stream import StreamFile, open_raw
from pipelines.pipeline import Pipeline, load_xml
from pipelines.run import Verdict, pump, run

READ_AHEAD = 256  # lines


@click.command()
@click.argument("inputs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="IN.h5...")
@click.option("--pipeline", "-p", default="sense", help="Name of an installed pipeline, or an XML file.")
@click.option("--output", "-o", required=True, type=click.Path(path_type=Path), help="Image file, or folder.")
@click.option("--overwrite", is_flag=True, help="Replace image files that exist.")
def replay(inputs: tuple[Path, ...], pipeline: str, output: Path, overwrite: bool) -> None:
    """Reconstruct MRD raw files through PIPELINE, as the scanner would, and write MRD image files.

    Raw files are HDF5 files, or the streams (.mrd) of a server's journal.

    Exits with 1 if any scan failed, lacks lines, or got a fallback image; what could be made is written all the same.
    """
    try:
        xml = load_xml(pipeline)
        Pipeline.from_xml(xml)
    except PipelineError as problem:
        raise click.ClickException(str(problem)) from problem
    to_folder = len(inputs) > 1 or output.is_dir()
    if to_folder:
        output.mkdir(parents=True, exist_ok=True)
    n_failed = 0
    for path in inputs:
        target = output / f"{path.stem}_{Path(pipeline).stem}.h5" if to_folder else output
        if problem := _replay_one(path, xml, target, overwrite):
            click.echo(f"Error: {path}: {problem}", err=True)
            n_failed += 1
    if n_failed:
        raise SystemExit(1)


def _replay_one(path: Path, xml: str, target: Path, overwrite: bool) -> str | None:
    """Replay one file; return what is wrong, or None."""
    verdict, started = Verdict(), time.perf_counter()
    try:
        with open_raw(path) as raw, ImageFile(target, raw.header_xml, overwrite=overwrite) as images:
            problem = None
            try:
                for image in run(Pipeline.from_xml(xml), Scan.from_xml(raw.header_xml), _progress(raw, path), verdict):
                    images.append(image)
            except (PipelineError, ScanError) as error:
                problem = str(error)
            reference = raw.reference()
    except FileProblem as error:
        return str(error).removeprefix(f"{path}: ")
    if verdict.n_images:
        seconds = time.perf_counter() - started
        click.echo(f"{path}: {verdict.n_lines} lines, {verdict.n_images} images in {seconds:.2f} s, "
                   f"the last {1000 * verdict.latency:.0f} ms after the last line: {target}")  # fmt: skip
        for image in read_images(target) if reference else ():
            for other in reference:
                if other.slice == image.slice:
                    agreement = compare(image, other)[2]
                    click.echo(f"  slice {image.slice}: {agreement} against the reference in {path.name}")
    return problem or verdict.flaw


def _progress(raw: RawFile | StreamFile, path: Path) -> Iterator:
    return tqdm(pump(raw, READ_AHEAD), total=len(raw), desc=path.name, unit="line", delay=0.5)
