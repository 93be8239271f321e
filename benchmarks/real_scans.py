"""Replay every real scan through a pipeline with no option set by hand, and draw what comes out."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import click
import h5py
import ismrmrd
from measure import data_option, print_conditions, print_table

from gadgets.errors import PipelineError, ScanError
from gadgets.scan import Scan
from pipelines.chain.pipeline import Pipeline, installed_xml
from pipelines.chain.pump import READ_AHEAD, pump
from pipelines.chain.run import run
from pipelines.chain.verdict import Verdict
from pipelines.files.finished_file import FileProblem
from pipelines.files.mrd_file import RawFile
from pipelines.pictures.montage import Source, montage


@click.command()
@data_option
@click.option("--pipeline", default="sense", show_default=True, help="Name of an installed pipeline.")
@click.option("-o", "--output", default="real_scans.png", type=click.Path(path_type=Path), help="The picture.")
def main(data: Path, pipeline: str, output: Path) -> None:
    """Exit with 1 if a Cartesian file fails, or if another one is not refused."""
    logging.basicConfig(level=logging.ERROR)
    paths = [path for path in sorted(data.glob("*.h5")) if may_hold_lines(path)]
    if not paths:
        raise click.ClickException(f"{data}: no raw files (*.h5)")
    try:
        xml = installed_xml(pipeline)
    except PipelineError as problem:
        raise click.ClickException(str(problem)) from problem
    print_conditions(f"pipeline '{pipeline}', every file once, as kband replay does; the first pays for warming up")
    rows, images, failed = [], [], []
    for path in paths:
        row, of_file, good = _replayed(path, xml)
        rows.append(row)
        images += of_file
        failed += [] if good else [path.stem]
    print_table(("file", "lines", "images", "latency ms", "total s", "verdict"), rows)
    if images:
        montage(Source(f"real scans through '{pipeline}'", images)).savefig(output, format="png")
        click.echo(f"{output}: {len(images)} images of {len(paths)} files")
    if failed:
        raise click.ClickException(f"{len(failed)} of {len(paths)} files failed: {', '.join(failed)}")


def may_hold_lines(path: Path) -> bool:
    """Whether it is no HDF5 file of something else, such as images, which has no group of lines."""
    try:
        with h5py.File(path) as file:
            return any(isinstance(item, h5py.Group) for item in file.values())
    except OSError:  # a damaged one is told
        return True


def _replayed(path: Path, xml: str) -> tuple[tuple[str, ...], list[ismrmrd.Image], bool]:
    """Return the table's row, the images named after the file, and whether all is as it should be."""
    verdict, images, problem, cartesian = Verdict(), [], None, True
    started = time.perf_counter()
    try:
        with RawFile(path) as raw:
            scan = Scan.from_xml(raw.header_xml)
            cartesian = all(encoding.trajectory == "cartesian" for encoding in scan.encodings)
            for image in run(Pipeline.from_xml(xml), scan, pump(raw, READ_AHEAD), verdict):
                images.append(_named(image, path.stem))
    except (FileProblem, PipelineError, ScanError) as error:
        problem = str(error)
    elapsed = time.perf_counter() - started
    if not cartesian:
        row = path.stem, "-", "-", "-", "-", f"refused: {problem}" if problem else "NOT REFUSED"
        return row, images, problem is not None
    problem = problem or verdict.flaw
    latency = "-" if verdict.latency is None else f"{1000 * verdict.latency:.0f}"
    row = path.stem, f"{verdict.n_lines}", f"{verdict.n_images}", latency, f"{elapsed:.2f}", problem or "good"
    return row, images, problem is None


def _named(image: ismrmrd.Image, name: str) -> ismrmrd.Image:
    """Put the file's name where the picture prints how the image was made."""
    image.meta = {**image.meta, "kband_method": f"{name} · {image.meta['kband_method']}"}
    return image


if __name__ == "__main__":
    main()
