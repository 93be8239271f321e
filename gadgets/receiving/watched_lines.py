"""Lines of an image that are looked at as they come, while the scanner measures the next ones."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from gadgets.encoding import Encoding
from gadgets.mrd import ismrmrd
from gadgets.receiving.kspace_lines import KSpaceLines
from gadgets.receiving.place import Place
from kband_core.coming_lines import ComingLines
from kband_core.looked_lines import LineFigures, LookedLines, line_figures

AT_ONCE = 8  # lines: one at a time takes three times as long, and of more, more wait when the last one has come


class WatchedLines(KSpaceLines):
    """K-space under construction, and the figures of its lines; those of several partitions are not looked at.

    coming  these lines, and what others have asked to make of each as it comes; None of partitions
    """

    def __init__(self, encoding: Encoding, n_coils: int, n_samples: int) -> None:
        super().__init__(encoding, n_coils, n_samples)
        self._waiting: list[int] = []  # rows, of which the figures are not told or no longer true
        self._figures: LineFigures | None = None  # of all rows, before averaging
        self.coming = self._coming()

    def add(self, line: ismrmrd.Acquisition, place: Place) -> None:
        """Add one line, and look at some when enough wait."""
        super().add(line, place)
        self._waiting.append(place.row)
        if len(self._waiting) >= AT_ONCE:
            self._look()

    def move(self, n_rows: int) -> None:
        """Move all lines, and look at them anew."""
        super().move(n_rows)
        self.coming = self._coming()
        self._waiting = np.flatnonzero(self.counts.any(0)).tolist()

    def looked(self, kspace: Tensor) -> LookedLines | None:
        """Return these lines, which are `kspace` `(coil, kz, ky, kx)` now, with their figures; None of partitions."""
        if self.coming is None:
            return None
        self._look()
        counts = torch.from_numpy(self.counts[0])
        rows = torch.nonzero(counts).flatten()
        figures = self._figures.of_lines(rows)
        return LookedLines(kspace[:, 0], rows, figures.times(1 / counts[rows]) if counts.max() > 1 else figures)

    def _look(self) -> None:
        rows, self._waiting = torch.tensor(self._waiting, dtype=torch.long), []
        if self.coming is None:
            return
        self.coming.take(rows)
        some = line_figures(torch.from_numpy(self.kspace[:, 0])[:, rows])
        if self._figures is None:
            n_coils, n_rows = self.kspace.shape[0], self.kspace.shape[2]
            self._figures = LineFigures(*(figure.new_zeros(n_coils, n_rows) for figure in some))
        for figures, of_some in zip(self._figures, some, strict=True):
            figures[:, rows] = of_some

    def _coming(self) -> ComingLines | None:
        return None if len(self.counts) > 1 else ComingLines(torch.from_numpy(self.kspace)[:, 0])
