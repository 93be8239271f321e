"""Choosing lines while they come: which one next, and how wrong the image still is."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from kband_core.active.orders import central
from kband_core.active.progress import Progress
from kband_core.active.quick_image import COILS, READOUT, quick_maps
from kband_core.coils import compress, compression_matrix
from kband_core.fourier import resize, to_image
from kband_core.networks.line_evaluator import N_MARGINS, LineEvaluator
from kband_core.threads import single_thread


@dataclass(frozen=True)
class Decision:
    """What to measure next: `rows`, the best first, `scores`, their shares of the squared error, and the image's NMSE.

    `nmse_limit` is what 9 of 10 simulated images stay below for which as much is told.
    """

    rows: tuple[int, ...]
    scores: tuple[float, ...]
    nmse: float
    nmse_limit: float


class LineChooser:
    """Takes the lines of one image and says which should follow. Lines have their oversampling removed.

    All is computed on the central samples of each line and on few virtual coils, which the central `acs_lines` tell:
    before these are in, nothing can be said. `measurable`, bool `(ky,)`: rows that may be chosen, else all.
    """

    def __init__(
        self, evaluator: LineEvaluator, n_lines: int, acs_lines: int, measurable: Tensor | None = None
    ) -> None:
        self._evaluator, self._acs = evaluator, central(n_lines, acs_lines)
        self._measurable = torch.ones(n_lines, dtype=torch.bool) if measurable is None else measurable
        self._lines: dict[int, Tensor] = {}
        self._matrix: Tensor | None = None
        self._progress: Progress | None = None
        self.n_lines = n_lines

    @property
    def is_calibrated(self) -> bool:
        """Whether the central lines are in."""
        return self._progress is not None

    @property
    def rows(self) -> Collection[int]:
        """The rows that came."""
        return self._lines.keys()

    def lacking(self) -> list[int]:
        """Central rows that have not come."""
        return [row for row in range(self._acs.start, self._acs.stop) if row not in self._lines]

    def add(self, row: int, line: Tensor) -> None:
        """Take a line `(coil, kx)`."""
        self._lines[row] = resize(line, (READOUT,), (-1,))
        if self._progress is not None:
            self._put(row)
        elif not self.lacking():
            self._begin()

    def decide(self, coming: Sequence[int] = (), most: int = 4) -> Decision:
        """Say which rows should follow those that are `coming`, at most so many. Raises `ValueError` too early."""
        if self._progress is None:
            raise ValueError(f"central lines are missing: {len(self.lacking())} of {self._acs.stop - self._acs.start}")
        now = self._progress
        asked = torch.zeros_like(now.acquired)
        asked[0, list(coming)] = True
        with torch.inference_mode(), single_thread():
            errors = 10 ** self._evaluator(now.features(now.predicted(), asked))[0]
        open_rows = (self._measurable & ~(now.acquired | asked)[0]).nonzero().flatten()
        best = open_rows[errors[open_rows].argsort(descending=True, stable=True)[:most]]
        nmse, n_here = float(errors.sum()), int(now.acquired.sum())
        margin = float(self._evaluator.margin[min(n_here * N_MARGINS // self.n_lines, N_MARGINS - 1)])
        return Decision(tuple(best.tolist()), tuple(errors[best].tolist()), nmse, margin * nmse)

    def _begin(self) -> None:
        acs = torch.stack([self._lines[row] for row in range(self._acs.start, self._acs.stop)], 1)
        self._matrix = compression_matrix(acs, min(COILS, len(acs)))
        shape = self.n_lines, READOUT
        kspace = torch.zeros(1, len(self._matrix), *shape, dtype=torch.complex64)
        acquired = torch.zeros(1, self.n_lines, dtype=torch.bool)
        self._progress = Progress(kspace, acquired, quick_maps(compress(acs, self._matrix)[None], shape))
        for row in self._lines:
            self._put(row)

    def _put(self, row: int) -> None:
        self._progress.kspace[0, :, row] = to_image(self._matrix @ self._lines[row], (-1,))
        self._progress.acquired[0, row] = True
