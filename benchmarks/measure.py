"""What every benchmark shares: the machine and the date, timing in turns, one table, where real scans lie."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import click
import torch
from torch import Tensor

from gadgets.errors import PipelineError, ScanError
from gadgets.items import ReconBuffer
from gadgets.receiving.acquisition_buffer import AcquisitionBuffer
from gadgets.scan import Scan
from gadgets.stock import RemoveROOversampling
from kband_core.metrics import nrmse, ssim
from pipelines.chain.pipeline import Pipeline
from pipelines.chain.run import run
from pipelines.chain.verdict import Verdict
from pipelines.files.finished_file import FileProblem
from pipelines.files.mrd_file import RawFile

data_option = click.option(
    "--data", envvar="KBAND_DATA", default=Path(__file__).parents[2] / "shared" / "data", show_default=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path), help="Folder of the real raw files; or KBAND_DATA.",
)  # fmt: skip


def describe_machine() -> str:
    """One line for the head of every table of numbers."""
    cores, load = len(os.sched_getaffinity(0)), os.getloadavg()[0]
    device = "CUDA" if torch.cuda.is_available() else "CPU only"
    waiting = os.environ.get("OMP_WAIT_POLICY", "not set")
    return (
        f"{datetime.now():%Y-%m-%d %H:%M} · {platform.machine()}, {cores} cores, {device}, load {load:.1f} · "
        f"torch {torch.__version__}, {torch.get_num_threads()} threads, OMP_WAIT_POLICY {waiting}"
    )


def print_conditions(what: str) -> None:
    """Print date, machine and what was measured on what."""
    click.echo(f"{describe_machine()}\n{what}\n")


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a Markdown table, first column to the left, the others to the right."""
    widths = [max(len(row[n]) for row in (header, *rows)) for n in range(len(header))]
    ruler = ["-" * width if n == 0 else "-" * (width - 1) + ":" for n, width in enumerate(widths)]
    for row in (header, ruler, *rows):
        cells = [f"{c:<{w}}" if n == 0 else f"{c:>{w}}" for n, (c, w) in enumerate(zip(row, widths, strict=True))]
        click.echo(f"| {' | '.join(cells)} |")
    click.echo()


def interleave(contestants: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Run all contestants in turn, `repeats` times after one warm-up: other load on the machine meets all of them.

    Returns seconds of wall time by name.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for repeat in range(repeats + 1):
        for name, contestant in contestants.items():
            start = time.perf_counter()
            contestant()
            if repeat:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def print_times(seconds: Mapping[str, Sequence[float]], reference: str, notes: Mapping[str, str] | None = None) -> None:
    """Print minimum and median, their ratios to those of `reference`, and a note for each contestant."""
    least, median = min(seconds[reference]), statistics.median(seconds[reference])
    rows = [
        (name, f"{1e3 * min(times):.1f}", f"{1e3 * statistics.median(times):.1f}", f"{min(times) / least:.2f}",
         f"{statistics.median(times) / median:.2f}", (notes or {}).get(name, ""))
        for name, times in seconds.items()
    ]  # fmt: skip
    print_table(("", "min ms", "median ms", "min ratio", "median ratio", "errors"), rows)


def fully_sampled(path: Path, slice_: int = 0) -> Tensor:
    """Read the k-space `(coil, ky, kx)` of one slice of a file, on the encoded grid without readout oversampling."""
    try:
        with RawFile(path) as raw:
            chain = Pipeline([RemoveROOversampling(), AcquisitionBuffer(device="cpu")])
            for item in run(chain, Scan.from_xml(raw.header_xml), raw, Verdict()):
                if isinstance(item, ReconBuffer) and item.slice_counters() == [slice_]:
                    return item.kspace[0, 0, 0, :, 0]
    except (FileProblem, PipelineError, ScanError) as error:
        raise click.ClickException(str(error)) from error
    raise click.ClickException(f"{path}: no slice {slice_}")


def fitted(image: Tensor, reference: Tensor) -> Tensor:
    """The magnitude `(y, x)` after the one factor that fits the reference best."""
    image = image.abs()
    return image * ((image * reference).sum() / image.square().sum())


def scores(image: Tensor, reference: Tensor) -> tuple[float, float]:
    """NRMSE and SSIM of the magnitude `(y, x)`, after the one factor that fits the reference best."""
    image = fitted(image, reference)
    return float(nrmse(image, reference)), float(ssim(image, reference))
