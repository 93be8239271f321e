"""Shots as a table of numbers: CSV, in units that any program knows."""

from __future__ import annotations

import csv
from pathlib import Path

from torch import Tensor

from kband_core.measured_shots import COLUMNS, read_table
from pipelines.files.finished_file import FileProblem, finished_file


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
        places = read_table(path)
    except ValueError as problem:
        raise FileProblem(f"{path}: {problem}") from problem
    places = (places * (pixel_mm * 1e-3)).float()
    reach = float(places.abs().max())
    if reach > 0.5:
        raise FileProblem(f"{path}: k reaches {reach:.3f} cycles per pixel of {pixel_mm:.3g} mm, 0.5 at most expected")
    return places
