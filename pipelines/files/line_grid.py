"""The grid that measured lines lie on, and how a scanner would have flagged them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from gadgets.mrd import ismrmrd
from kband_core.sampling import Grid


@dataclass(frozen=True)
class LineGrid:
    """Every how many lines are measured, from which on, and the lines around the centre that calibrate."""

    acceleration: int = 1
    first: int = 0
    centre: range = range(0)

    @classmethod
    def of(cls, acquired: np.ndarray) -> LineGrid:
        """Find it; lines without a grid that all images share are those of a full scan, some left out."""
        grid = Grid(torch.from_numpy(acquired[0])[:, None])
        acceleration = grid.spacing()
        if acceleration is None or (acquired != acquired[0]).any():
            return cls()
        rows, middle = np.flatnonzero(acquired[0]), acquired.shape[1] // 2
        n_central = grid.central_lines()
        first = middle + int(np.cumprod(acquired[0, middle:]).sum()) - n_central
        centre = range(first, first + n_central) if n_central > 1 else range(0)
        return cls(acceleration, int(np.bincount(rows % acceleration).argmax()), centre)

    def flags(self, row: int) -> int:
        """Flags of a line: in the centre those off the grid calibrate, those on it serve the image as well."""
        if row not in self.centre:
            return 0
        is_on_grid = row % self.acceleration == self.first
        flag = ismrmrd.ACQ_IS_PARALLEL_CALIBRATION_AND_IMAGING if is_on_grid else ismrmrd.ACQ_IS_PARALLEL_CALIBRATION
        return 1 << (flag - 1)
