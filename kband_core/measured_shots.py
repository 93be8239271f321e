"""Where shots lead, designed or measured: tables of places in CSV, in folders that `KBAND_TRAJECTORIES` names, and one
that ships."""

from __future__ import annotations

import csv
import os
import re
from pathlib import Path

import torch
from torch import Tensor

from kband_core.model_folders import SHIPPED
from kband_core.plural import counted

COLUMNS = ("shot", "sample", "time_us", "kx_per_m", "ky_per_m")
NAME = re.compile(r"[A-Za-z0-9_-]+")
LONGEST = 1 << 28  # bytes: some million samples


def read_table(path: Path) -> Tensor:
    """Return the places that a table holds: float64 `(shot, sample, 2)`, ky before kx, in cycles per metre.

    Raises `ValueError`, one sentence, for what is no such table, and for shots of different lengths.
    """
    try:
        if (size := path.stat().st_size) > LONGEST:
            raise ValueError(f"it has {size:,} bytes, at most {LONGEST:,} are read")
        with path.open(newline="") as file:
            table = csv.reader(file)
            if tuple(next(table, ())) != COLUMNS:
                raise ValueError(f"the first line does not name the columns {', '.join(COLUMNS)}")
            rows = torch.tensor([[float(value) for value in row] for row in table], dtype=torch.float64)
    except (OSError, UnicodeDecodeError, csv.Error, ValueError) as problem:
        raise ValueError(f"no table of shots: {problem}") from problem
    if rows.numel() == 0 or rows.shape[-1] != len(COLUMNS) or not rows.isfinite().all():
        raise ValueError(f"{counted(len(rows), 'row')}, rows of {len(COLUMNS)} finite numbers expected")
    n_shots, n_samples = (int(rows[:, column].max()) + 1 for column in (0, 1))
    n_expected = n_shots * n_samples if min(n_shots, n_samples) > 0 else 0
    if len(rows) != n_expected or not torch.equal(rows[:, :2], _numbers(n_shots, n_samples)):
        raise ValueError(f"{len(rows)} rows are not {n_shots} shots of {n_samples} samples in their order")
    return rows[:, [4, 3]].reshape(n_shots, n_samples, 2)


def find_table(name: str) -> Path:
    """Return the table `name`.csv of the first folder that has one; those that ship come last. Raises `ValueError`.

    A name is no path: whoever sends a scan chooses among what the site has put there.
    """
    folders = [Path(folder) for folder in os.environ.get("KBAND_TRAJECTORIES", "").split(os.pathsep) if folder]
    found: dict[str, Path] = {}
    for folder in (*folders, SHIPPED):
        for path in sorted(folder.glob("*.csv")):
            if NAME.fullmatch(path.stem):
                found.setdefault(path.stem, path)
    if name not in found:
        raise ValueError(f"no table of shots '{name}'; found {', '.join(found)} (KBAND_TRAJECTORIES names folders)")
    return found[name]


def measured_shots(name: str) -> Tensor:
    """Return the places of the table of that name, as `read_table`. Raises `ValueError`."""
    path = find_table(name)
    try:
        return read_table(path)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _numbers(n_shots: int, n_samples: int) -> Tensor:
    return torch.cartesian_prod(torch.arange(n_shots), torch.arange(n_samples)).double().reshape(-1, 2)
