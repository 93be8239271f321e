"""Fixed orders of lines: what is measured where nothing is known of the scan, or nobody has decided in time."""

from __future__ import annotations

import torch
from torch import Tensor

STEP = 3  # lines from one to the next, on the way outwards


def central(n_lines: int, acs_lines: int) -> slice:
    """The `acs_lines` rows around the centre, N//2. Raises `ValueError` if there are not so many."""
    if not 1 <= acs_lines <= n_lines:
        raise ValueError(f"{acs_lines} calibration lines of {n_lines} lines, 1 to {n_lines} expected")
    start = n_lines // 2 - acs_lines // 2
    return slice(start, start + acs_lines)


def centre_out(n_lines: int) -> Tensor:
    """All rows by their distance from the centre, of equal ones the upper first: `(ky,)`."""
    k = torch.arange(n_lines) - n_lines // 2
    return (4 * k.abs() + (k < 0)).argsort()


def stepped_out(n_lines: int, acs_lines: int) -> Tensor:
    """All rows: the central ones, then every third outwards on both sides in turn, then those between: `(ky,)`.

    Coils fill gaps of two lines, so detail is worth more than density; where two coils, or maps of too few lines, fill
    none, `centre_out` is better (`benchmarks/README.md`).
    """
    acs = central(n_lines, acs_lines)
    rows = centre_out(n_lines)
    beyond = torch.where(rows >= acs.stop, rows - acs.stop, acs.start - 1 - rows)  # lines from the block, 0 is next
    turn = torch.where(beyond < 0, -1, (beyond + 1) % STEP)
    ranks = torch.tensor([-1, 2, 1, 0])  # the block, then gaps of two lines, then what fills them
    return rows[ranks[turn + 1].argsort(stable=True)]


def variable_density(n_lines: int, rng: torch.Generator, *, power: float = 1.0) -> Tensor:
    """All rows in a random order, drawn more often the nearer they are to the centre: `(ky,)`."""
    k = (torch.arange(n_lines) - n_lines // 2).abs() / (n_lines / 2)
    return torch.multinomial((1 - 0.98 * k) ** power, n_lines, generator=rng)
