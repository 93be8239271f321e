"""Ghosts of every real EPI scan, by each way to correct them, and how like the object is to itself without trains."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import click
import ismrmrd
import numpy as np
import torch
from measure import data_option, print_conditions, print_table
from torch import Tensor

from gadgets.errors import ScanError
from gadgets.scan import Scan
from kband_core.epi.ghost import filled
from kband_core.fourier import interpolate
from pipelines.chain.chain import with_properties
from pipelines.chain.pipeline import Pipeline, installed_xml
from pipelines.chain.run import run
from pipelines.chain.verdict import Verdict
from pipelines.chain.xml import read_chain
from pipelines.files.mrd_file import RawFile

WITHOUT_TRAINS = {"phantom_epi_2ch": "phantom_gre_2ch_os2"}  # the same object
WAYS = {
    "none": {"phase_correction": "none"},
    "linear, all coils alike": {"per_coil": "false", "refine": "none"},
    "linear, per coil": {"refine": "none"},
    "linear, per coil and entropy": {"refine": "entropy"},
    "entropy": {"phase_correction": "none", "refine": "entropy"},
    "as it comes": {},
}


@click.command()
@data_option
def main(data: Path) -> None:
    """Print ghost, outline and correlation of each image; ways that a scan has no navigators for are left out."""
    print_conditions("pipeline 'epi_sense'; ghost as the meta tells it, over the mean of the object; whole scan in ms")
    rows = []
    for path in sorted(data.glob("*epi*.h5")):
        other = WITHOUT_TRAINS.get(path.stem)
        reference = next(_images(data / f"{other}.h5", {})) if other else None
        for way, properties in WAYS.items():
            started = time.perf_counter()
            try:
                made = list(_images(path, properties))
            except ScanError:
                continue
            elapsed = f"{1000 * (time.perf_counter() - started):.0f}"
            for image in made:
                told = image.meta["kband_ghost"], *_likeness(image, reference)
                rows.append((path.stem, f"{image.repetition}", way, *told, elapsed))
    print_table(("file", "repetition", "correction", "ghost", "Dice", "correlation", "ms"), rows)


def _images(path: Path, properties: dict[str, str]) -> Iterator[ismrmrd.Image]:
    chain = with_properties(read_chain(installed_xml("epi_sense")), {f"EpiLines.{k}": v for k, v in properties.items()})
    with RawFile(path) as raw:
        yield from run(Pipeline.from_chain(chain), Scan.from_xml(raw.header_xml), iter(raw), Verdict())


def _likeness(image: ismrmrd.Image, reference: ismrmrd.Image | None) -> tuple[str, str]:
    """Dice of the outlines, and correlation of the pixels."""
    if reference is None:
        return "-", "-"
    ours, theirs = _pixels(image), _pixels(reference)
    theirs = interpolate(theirs.to(torch.complex64), ours.shape).abs()
    first, second = _outline(ours), _outline(theirs)
    dice = 2 * (first & second).sum() / (first.sum() + second.sum())
    correlation = torch.corrcoef(torch.stack([ours.flatten(), theirs.flatten()]))[0, 1]
    return f"{dice:.3f}", f"{correlation:.3f}"


def _pixels(image: ismrmrd.Image) -> Tensor:
    return torch.from_numpy(image.data[0, 0].astype(np.float32))


def _outline(image: Tensor) -> Tensor:
    """What is brighter than 30 % of the 95th percentile, holes filled."""
    return filled(image > 0.3 * torch.quantile(image.flatten(), 0.95))


if __name__ == "__main__":
    main()
