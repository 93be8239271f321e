"""Shots as a table of numbers: CSV, in units that any program knows."""

from __future__ import annotations

import csv
from pathlib import Path

import torch
from torch import Tensor

from kband_core.plural import counted
from pipelines.files.finished_file import FileProblem, finished_file

COLUMNS = ("shot", "sample", "time_us", "kx_per_m", "ky_per_m")


def write_shots(path: Path, places: Tensor, times_us: Tensor, pixel_mm: float) -> None:
    """Write places `(shot, sample, 2)` in cycles per pixel and the times of their samples, from a shot's beginning."""
    per_metre = (places.double() / (pixel_mm * 1e-3)).tolist()
    with finished_file(path) as unfinished, unfinished.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        for shot, samples in enumerate(per_metre):
            for sample, (time, (ky, kx)) in enumerate(zip(times_us.tolist(), samples, strict=True)):
                table.writerow((shot, sample, f"{time:.4f}", f"{kx:.5f}", f"{ky:.5f}"))


def read_shots(path: Path, pixel_mm: float) -> Tensor:
    """Return the places that a table holds: float32 `(shot, sample, 2)`, ky before kx, in cycles per pixel.

    Raises `FileProblem` for another table, shots of different lengths, or places beyond the pixels' k-space.
    """
    try:
        with path.open(newline="") as file:
            table = csv.reader(file)
            if tuple(next(table, ())) != COLUMNS:
                raise FileProblem(f"{path}: the first line does not name the columns {', '.join(COLUMNS)}")
            rows = torch.tensor([[float(value) for value in row] for row in table], dtype=torch.float64)
    except (OSError, UnicodeDecodeError, csv.Error, ValueError) as problem:
        raise FileProblem(f"{path}: no table of shots: {problem}") from problem
    if rows.numel() == 0 or rows.shape[-1] != len(COLUMNS) or not rows.isfinite().all():
        raise FileProblem(f"{path}: {counted(len(rows), 'row')}, rows of {len(COLUMNS)} finite numbers expected")
    n_shots, n_samples = (int(rows[:, column].max()) + 1 for column in (0, 1))
    expected = torch.cartesian_prod(torch.arange(n_shots), torch.arange(n_samples)).double().reshape(-1, 2)
    if len(rows) != len(expected) or not torch.equal(rows[:, :2], expected):
        raise FileProblem(f"{path}: {len(rows)} rows are not {n_shots} shots of {n_samples} samples in their order")
    places = (rows[:, [4, 3]] * (pixel_mm * 1e-3)).float().reshape(n_shots, n_samples, 2)
    reach = float(places.abs().max())
    if reach > 0.5:
        raise FileProblem(f"{path}: k reaches {reach:.3f} cycles per pixel of {pixel_mm:.3g} mm, 0.5 at most expected")
    return places
