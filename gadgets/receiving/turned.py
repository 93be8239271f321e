"""Scans undersampled along ky and kz: x is separated, and each x is a problem in the plane (kz, ky).

The readout is sampled whole, so a transform along it leaves one 2-D problem for each x, all with the same mask.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from gadgets.receiving.calibration import CalibrationLines
from gadgets.receiving.kspace_lines import KSpaceLines
from kband_core.fourier import to_image, to_kspace
from kband_core.sampling import corners_left_out

MOST_LOST = 0.25  # of the lines that other partitions have
EMPTY = 1e-5  # of the strongest partition: no line came, and the transform along z has left its rounding


def rows_change(lines: KSpaceLines) -> bool:
    """Whether other rows were acquired in other partitions: a part of them all over is missing here and there.

    Where only corners are missing, or lines got lost, each z is a problem in (ky, kx), which may lack lines.
    """
    came = torch.from_numpy(lines.counts > 0)
    wanted = came.any(1, keepdim=True) & came.any(0)
    n_missing = int((wanted & ~came & ~corners_left_out(came)).sum())
    return n_missing > MOST_LOST * int(wanted.sum())


def separate_x(kspace: Tensor) -> Tensor:
    """Transform `(coil, kz, ky, kx)` to image space along x: `(coil, x, kz, ky)`, coil by coil to spare memory."""
    n_coils, kz, ky, kx = kspace.shape
    separated = kspace.new_empty(n_coils, kx, kz, ky)
    for coil, lines in enumerate(kspace):
        separated[coil] = to_image(lines, dims=(-1,)).movedim(-1, 0)
    return separated


def join_x(separated: Tensor) -> Tensor:
    """Take `(coil, x, kz, ky)` back to k-space along x: `(coil, kz, ky, kx)`."""
    return to_kspace(separated, dims=(-3,)).movedim(-3, -1)


def with_calibration(imaging: KSpaceLines, calibration: KSpaceLines | None) -> tuple[Tensor, np.ndarray]:
    """Return k-space `(coil, kz, ky, kx)` of an image, and which lines it has, bool [kz ky]: where it has none of its
    own, those that calibrate it."""
    kspace, present = imaging.averaged(), imaging.counts > 0
    if calibration is None:
        return kspace, present
    added = (calibration.counts > 0) & ~present
    kspace = torch.where(torch.from_numpy(added)[:, :, None], calibration.averaged(), kspace)
    return kspace, present | added


def turned_lines(kspace: Tensor, present: np.ndarray, flaw: str | None) -> CalibrationLines | None:
    """Cut the largest block of whole rows and partitions out of calibration lines `(coil, kz, ky, kx)`, of which those
    `present` [kz ky] calibrate; None if there is none. Its ACS is `(x, coil, kz, ky)`."""
    partitions, rows = _largest_block(present)
    if rows.stop == rows.start:
        return None
    acs = separate_x(kspace[:, partitions, rows]).movedim(1, 0)
    return CalibrationLines(acs.contiguous(), None, flaw, turned=True)


def turned_calibration(lines: CalibrationLines) -> CalibrationLines | None:
    """Turn calibration lines whose ACS is `(z, coil, ky, kx)`, the same rows of all partitions."""
    if lines.turned:
        return lines
    kspace = to_kspace(lines.acs.movedim(0, 1), dims=(-3,))
    strength = kspace.abs().amax((0, -2, -1))
    present = (strength > EMPTY * strength.max())[:, None].expand(-1, kspace.shape[-2])
    return turned_lines(kspace, present.numpy(), lines.flaw)


def _largest_block(present: np.ndarray) -> tuple[slice, slice]:
    """Partitions and rows, around the centre, of the largest block that is wholly `present` [kz ky]."""
    best, centre = (slice(0, 0), slice(0, 0)), [n // 2 for n in present.shape]
    most = 0
    for half in range(1, present.shape[0] // 2 + 1):
        partitions = slice(max(centre[0] - half, 0), centre[0] + half)
        rows = _run_around(present[partitions].all(0), centre[1])
        area = (partitions.stop - partitions.start) * (rows.stop - rows.start)
        if area > most:
            most, best = area, (partitions, rows)
    return best


def _run_around(rows: np.ndarray, centre: int) -> slice:
    """The run of True that holds the centre, or an empty one."""
    if not rows[centre]:
        return slice(0, 0)
    below, above = np.flatnonzero(~rows[:centre]), np.flatnonzero(~rows[centre:])
    return slice(below[-1] + 1 if below.size else 0, centre + above[0] if above.size else len(rows))
