"""What faults of a scan make of the images of the four pipelines: their error, and whether they say so."""

from __future__ import annotations

import logging
from pathlib import Path

import click
import torch
from fault_kinds import Kind, all_kinds
from fault_scans import FaultyScan
from measure import data_option, fitted, print_conditions, print_table

from gadgets.errors import PipelineError, ScanError
from gadgets.scan import Scan
from kband_core.metrics import nmse
from pipelines.chain.pipeline import Pipeline, installed_xml
from pipelines.chain.run import Verdict, run

PIPELINES = ("sense", "grappa", "raki", "kband")
USUAL = {"kband_fallback": ("no",), "kband_consistency": ("good", "unknown")}


@click.command(context_settings={"show_default": True})
@data_option
@click.option("--only", default="", help="Kinds whose name contains this.")
@click.option("--pipeline", "pipelines", multiple=True, default=PIPELINES, help="Installed pipelines.")
def main(data: Path, only: str, pipelines: tuple[str, ...]) -> None:
    """Print one table: kind of fault, R, NMSE by pipeline, and what the images say of themselves."""
    logging.disable(logging.CRITICAL)
    print_conditions(
        "Simulated head, 128², 8 coils, SNR 40, 24 ACS lines, no noise scan, unless said otherwise. NMSE of the\n"
        "delivered pixels against the root sum of squares of the noise-free full data, after one factor; of real\n"
        "scans against that of all their lines. '!' behind an error: the image is marked."
    )
    rows = []
    for kind in all_kinds(data):
        if only in kind.name:
            rows += [_row(kind, acceleration, pipelines) for acceleration in kind.accelerations]
    print_table(("fault", "R", *pipelines, "marks"), rows)


def _row(kind: Kind, acceleration: int, pipelines: tuple[str, ...]) -> tuple[str, ...]:
    scan, cells, marks = kind.make(acceleration), [], []
    for name in pipelines:
        error, mark = judged(scan, name)
        cells.append(f"{error}{'!' * bool(mark)}")
        marks += [mark] if mark and mark not in marks else []
    click.echo(f"{kind.name}, R={acceleration}: {' '.join(cells)}", err=True)
    return kind.name, f"{acceleration}", *cells, "; ".join(marks)


def judged(scan: FaultyScan, pipeline: str) -> tuple[str, str]:
    """The error of the image, and the mark that it bears, if any."""
    chain, images, problem = Pipeline.from_xml(installed_xml(pipeline)), [], ""
    try:
        for image in run(chain, Scan.from_xml(scan.header_xml), scan.lines, Verdict()):
            images.append(image)
    except (PipelineError, ScanError) as error:
        problem = str(error)
    if not images:
        return "none", problem[:60]
    pixels = torch.from_numpy(images[0].data[0, 0].astype("float32"))
    meta = images[0].meta
    said = [f"{meta[name]}" for name, usual in USUAL.items() if meta.get(name, usual[0]) not in usual]
    said += str(meta["ImageComments"]).split("; ")[1:]
    error = float(nmse(fitted(pixels, scan.reference), scan.reference))
    return f"{error:.4f}", "; ".join(dict.fromkeys(text[:60] for text in (*said, problem) if text))


if __name__ == "__main__":
    main()
