"""Calibration lines cut out of the lines of an image, and which of them are missing."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from gadgets.encoding import Encoding
from gadgets.items import Calibration
from gadgets.receiving.kspace_lines import KSpaceLines
from kband_core.calibration import find_acs
from kband_core.coming_lines import ComingLines
from kband_core.fourier import partitions_to_image


class CalibrationLines(NamedTuple):
    """ACS [z coil ky kx], the row from which they may serve the image too, or None, and what is wrong with them.

    `turned`: ACS [x coil kz ky], of a scan undersampled along both ky and kz, in image space along x.
    """

    acs: Tensor
    row: int | None
    flaw: str | None
    turned: bool = False

    def ahead(self, encoding: Encoding, slice_: int, coming: ComingLines | None) -> Calibration:
        """Return what goes ahead of the images of a slice, with the lines of the next one as they come."""
        matrix = encoding.encoded_matrix[:0:-1] if self.turned else (encoding.encoded_matrix[1], self.acs.shape[-1])
        return Calibration(self.acs, matrix, encoding, slice_, self.turned, coming)

    def known_from(self, earlier: CalibrationLines | None) -> CalibrationLines:
        """Return these lines, in the memory of `earlier` ones if they are the same: gadgets know those by their memory.
        """
        if earlier is None or earlier.acs.shape != self.acs.shape or not torch.equal(earlier.acs, self.acs):
            return self
        return self._replace(acs=earlier.acs)


def flagged_lines(calibration: KSpaceLines, imaging: KSpaceLines) -> CalibrationLines | None:
    """Return the lines that the scanner flagged; of embedded ones it may have flagged only those off the grid.

    A row with a gap does not calibrate; None if no row is left. Lines that not all partitions have cannot serve the
    image.
    """
    present, gaps = _with_gaps(calibration, imaging)
    block = _block(present, gaps)
    if block.stop == block.start:
        return None
    kspace = calibration.averaged()[:, :, block]
    if calibration.encoding.is_embedded:
        unflagged = torch.from_numpy(present & (calibration.counts == 0))[:, block, None]
        kspace = torch.where(unflagged, imaging.averaged()[:, :, block], kspace)
    in_all_partitions = present[calibration.encoding.partitions, block].all()
    serves = calibration.encoding.is_embedded and bool(in_all_partitions)
    return CalibrationLines(_of_each_z(kspace), block.start if serves else None, flaw_of(gaps))


def missing_lines(calibration: KSpaceLines, imaging: KSpaceLines) -> np.ndarray:
    """Tell which lines are missing between flagged ones, bool [kz ky]."""
    return _with_gaps(calibration, imaging)[1]


def central_lines(imaging: KSpaceLines, n_lines: int) -> CalibrationLines | None:
    """Return up to `n_lines` lines around the centre of the image itself; None if there are none."""
    present = (imaging.counts > 0) & central_rows(imaging.counts.shape[1], n_lines)
    gaps = _between(present, axis=-2) & ~present  # along ky there are gaps wherever lines are left out
    block = _block(present, gaps)
    if block.stop == block.start:
        return None
    return CalibrationLines(_of_each_z(imaging.averaged()[:, :, block]), None, flaw_of(gaps))


def central_rows(n_rows: int, n_lines: int) -> np.ndarray:
    """Tell which rows are the `n_lines` around the centre of k-space, bool [ky]."""
    rows = np.arange(n_rows) - n_rows // 2
    return (rows >= -(n_lines // 2)) & (rows < (n_lines + 1) // 2)


def _block(present: np.ndarray, gaps: np.ndarray) -> slice:
    """Block of rows that can calibrate: in the middle, and without a gap in any partition."""
    return find_acs(torch.from_numpy(present.any(0) & ~gaps.any(0)))


def _of_each_z(acs: Tensor) -> Tensor:
    """A copy of calibration lines [coil kz ky kx], transformed to image space along z: [z coil ky kx]."""
    return partitions_to_image(acs).clone(memory_format=torch.contiguous_format)


def _with_gaps(calibration: KSpaceLines, imaging: KSpaceLines) -> tuple[np.ndarray, np.ndarray]:
    """Tell which lines calibrate and which ones between them are missing, bool [kz ky] each.

    Corners may be left out: a line is missed if there are others on both sides of it, along ky or along kz. Of
    embedded ones the scanner may have flagged only those that are not in the image anyway.
    """
    present = calibration.counts > 0
    if calibration.encoding.is_embedded:
        present |= (imaging.counts > 0) & _between(present, axis=-1)
    return present, (_between(present, axis=-2) | _between(present, axis=-1)) & ~present


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
