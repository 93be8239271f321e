"""Calibration lines cut out of the lines of an image, and whether one of them is missing."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from gadgets.receiving.kspace_lines import KSpaceLines, acs_block, calibration_block
from gadgets.scan import Encoding


class CalibrationLines(NamedTuple):
    """ACS [z coil ky kx], the row from which they may serve the image too, or None, and what is wrong with them."""

    acs: Tensor
    row: int | None
    flaw: str | None


def flagged_lines(calibration: KSpaceLines, imaging: KSpaceLines, *, embedded: bool) -> CalibrationLines | None:
    """Return the lines that the scanner flagged; of `embedded` ones it may have flagged only those off the grid.

    A row with a gap does not calibrate; None if no row is left. Lines that not all partitions have cannot serve the
    image.
    """
    present, gaps = with_gaps(calibration.counts > 0, imaging.counts > 0, embedded=embedded)
    kspace = calibration.averaged()
    if embedded:
        unflagged = torch.from_numpy(present & (calibration.counts == 0))
        kspace = torch.where(unflagged[:, :, None], imaging.averaged(), kspace)
    block = acs_block(present.any(0) & ~gaps.any(0))
    if block.stop == block.start:
        return None
    serves = embedded and in_all_partitions(present, block, calibration.encoding)
    return CalibrationLines(calibration_block(kspace, block), block.start if serves else None, flaw_of(gaps))


def gaps_between(calibration: KSpaceLines, imaging: KSpaceLines, *, embedded: bool) -> np.ndarray:
    """Tell which lines are missing between flagged ones, bool [kz ky]."""
    return with_gaps(calibration.counts > 0, imaging.counts > 0, embedded=embedded)[1]


def central_lines(imaging: KSpaceLines, n_lines: int) -> CalibrationLines | None:
    """Return up to `n_lines` lines around the centre of the image itself; None if there are none."""
    centre = imaging.counts.shape[1] // 2
    window = np.zeros(imaging.counts.shape[1], bool)
    window[max(centre - n_lines // 2, 0) : centre + (n_lines + 1) // 2] = True
    present = (imaging.counts > 0) & window
    gaps = _between(present, axis=-2) & ~present  # along ky there are gaps wherever lines are left out
    block = acs_block(present.any(0) & ~gaps.any(0))
    if block.stop == block.start:
        return None
    return CalibrationLines(calibration_block(imaging.averaged(), block), None, flaw_of(gaps))


def with_gaps(flagged: np.ndarray, imaging: np.ndarray, *, embedded: bool) -> tuple[np.ndarray, np.ndarray]:
    """Tell which lines calibrate and which ones between them are missing, bool [... kz ky] each.

    Corners may be left out: a line is missed if there are others on both sides of it, along ky or along kz. Of
    `embedded` ones the scanner may have flagged only those that are not in the image anyway.
    """
    present = flagged | (imaging & _between(flagged, axis=-1)) if embedded else flagged
    return present, (_between(present, axis=-2) | _between(present, axis=-1)) & ~present


def in_all_partitions(present: np.ndarray, rows: slice, encoding: Encoding) -> bool:
    """Whether `present` [... kz ky] holds `rows` in all partitions that the header lets expect."""
    return bool(present[..., encoding.partitions, rows].all())


def flaw_of(gaps: np.ndarray) -> str | None:
    """Say in one sentence which lines [kz ky] are missing, or None."""
    if not gaps.any():
        return None
    partition, row = np.argwhere(gaps)[0]
    where = f"row {row}" if len(gaps) == 1 else f"row {row} of partition {partition}"
    n_gaps = int(gaps.sum())
    return f"{n_gaps} calibration line{'s are' if n_gaps > 1 else ' is'} missing, first {where}"


def _between(present: np.ndarray, axis: int) -> np.ndarray:
    """Tell what lies between the first and the last along an axis, both included."""
    before = np.logical_or.accumulate(present, axis)
    return before & np.flip(np.logical_or.accumulate(np.flip(present, axis), axis), axis)
