"""How the error fell while a scanner measured what it was asked for: table and picture."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from matplotlib.figure import Figure

from gadgets.receiving.image_lines import ImageKey
from kband_core.active.orders import central
from kband_core.active.progress import Progress, line_errors
from kband_core.active.quick_image import COILS, READOUT
from kband_core.coils import compress, compression_matrix
from kband_core.fourier import resize, to_image, to_kspace
from pipelines.files.finished_file import finished_file
from pipelines.scanner.scanner import Scanner


@dataclass(frozen=True)
class Point:
    """One line of an image: how many there were with it, which it was and why, and the quick image's NRMSE then."""

    image: str
    lines: int
    row: int
    why: str
    nrmse: float
    latency_ms: float | None  # from the line to the decision that it led to


def error_curve(scanner: Scanner) -> list[Point]:
    """Compare the quick image of the lines so far with that of all lines: for every line from the last calibrating one.

    As decisions are made of it: central samples, few virtual coils, no noise scan.
    """
    points = []
    for key in scanner.scan.images:
        measured = [line for line in scanner.measured if line.image == key]
        n_lines, acs_lines = scanner.scan.encoding.encoded_matrix[1], scanner.terms.acs_lines
        now = Progress.begun(_kspace(scanner, key)[None], central(n_lines, acs_lines))
        true = now.true_lines()
        for number, line in enumerate(measured, 1):
            if number < acs_lines:
                continue
            now.acquired[0, line.row] = True
            nrmse = float(line_errors(now.predicted(), true).sum().sqrt())
            latency = scanner.inbox.latencies_ms.get(line.readout)
            points.append(Point(str(key), number, line.row, line.why, nrmse, latency))
    return points


def write_table(path: Path, points: Sequence[Point]) -> None:
    """Write the curve as CSV."""
    with finished_file(path) as unfinished, unfinished.open("w", newline="") as file:
        table = csv.DictWriter(file, [*Point.__dataclass_fields__])
        table.writeheader()
        for point in points:
            row = asdict(point)
            row["nrmse"] = f"{point.nrmse:.5f}"
            row["latency_ms"] = "" if point.latency_ms is None else f"{point.latency_ms:.2f}"
            table.writerow(row)


def draw_curve(path: Path, points: Sequence[Point], n_lines: int) -> None:
    """Draw error against lines of each image, and which row was measured when."""
    figure = Figure(figsize=(11.0, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name in dict.fromkeys(point.image for point in points):
        own = [point for point in points if point.image == name]
        left.plot([point.lines for point in own], [point.nrmse for point in own], marker=".", label=name)
        for why, colour in (("asked", "tab:blue"), ("own order", "tab:orange"), ("calibration", "0.6")):
            some = [point for point in own if point.why == why]
            rows, lines = [point.row for point in some], [point.lines for point in some]
            right.scatter(rows, lines, s=9, color=colour, label=why if some else None)
    left.set(xlabel="lines", ylabel="NRMSE of the quick image", yscale="log")
    left.grid(visible=True, which="both", alpha=0.3)
    left.legend()
    right.set(xlabel="row of k-space", ylabel="lines", xlim=(0, n_lines), title="which row was measured when")
    handles = dict(zip(*reversed(right.get_legend_handles_labels()), strict=True))
    right.legend(handles.values(), handles.keys())
    with finished_file(path) as unfinished:
        figure.savefig(unfinished, format="png", dpi=100)


def _kspace(scanner: Scanner, key: ImageKey) -> torch.Tensor:
    """K-space `(coil, ky, kx)` of an image, without readout oversampling, compressed by its central lines."""
    rows, encoding = scanner.scan.images[key], scanner.scan.encoding
    n_lines, n_samples = encoding.encoded_matrix[1], encoding.readout_samples
    first = next(iter(rows.values()))
    kspace = torch.zeros(first.active_channels, n_lines, first.number_of_samples, dtype=torch.complex64)
    for row, line in rows.items():
        kspace[:, row] = torch.tensor(line.data)
    kspace = to_kspace(resize(to_image(kspace, (-1,)), (n_samples,), (-1,)), (-1,))
    acs = kspace[:, central(n_lines, scanner.terms.acs_lines)]
    few = compress(kspace, compression_matrix(acs, min(COILS, len(kspace))))
    return resize(few, (READOUT,), (-1,))


def latencies(scanner: Scanner) -> str:
    """Say how long decisions took, and how many were lost."""
    found = torch.tensor(list(scanner.inbox.latencies_ms.values()) or [0.0])
    half, most = (float(found.quantile(share)) for share in (0.5, 0.95))
    n = len(scanner.inbox.latencies_ms)
    return f"{n} decisions, {half:.1f} ms in the median, {most:.1f} ms in 95 of 100; {scanner.n_lost} lost"

