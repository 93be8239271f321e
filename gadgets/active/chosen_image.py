"""One image whose lines are chosen: what came, what was asked for, whether the scanner follows, and when to stop."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from gadgets.encoding import Encoding
from gadgets.mrd import ismrmrd
from gadgets.receiving.place import place_of
from kband_core.active.line_chooser import Decision, LineChooser


@dataclass(frozen=True)
class Terms:
    """What an image is measured by: so many lines at most, less error than `target`, `lookahead` lines ahead."""

    most: int
    target: float
    lookahead: int
    ranks: int


class ChosenImage:
    """The lines of one image, in the order of their coming. `notes` of it, by meta key, stay true as it grows.

    A scanner follows if at least as many lines came as they were asked for as did not; so that this is known, no image
    stops before a first line was asked for. One that does not follow is not stopped: it sends what it has planned, and
    all of it makes the image.
    """

    def __init__(self, encoding: Encoding, chooser: LineChooser, terms: Terms) -> None:
        self._encoding, self._chooser, self._terms = encoding, chooser, terms
        self._asked: dict[int, int] = {}  # number of a line in the image → row
        self._told: Decision | None = None
        self._stop_at: int | None = None  # lines of the image, when it has been stopped
        self._is_cut = False  # it has these lines and no more, for the scanner follows
        self._shape: tuple[int, ...] | None = None
        self.n_lines = self.n_followed = self.n_missed = self.n_late = self.n_surplus = 0
        self.longest_ms = 0.0
        self.notes: dict[str, str] = {}

    @property
    def follows(self) -> bool:
        """Whether the scanner measures what it is asked for."""
        return self.n_followed > 0 and self.n_followed >= self.n_missed

    @property
    def is_stopped(self) -> bool:
        """Whether the scanner has been told to stop."""
        return self._stop_at is not None

    @property
    def is_over(self) -> bool:
        """Whether all lines are in that the image was to have when it was stopped."""
        return self._is_cut and self.n_lines >= self._stop_at

    def lacking(self) -> list[int]:
        """Encoding steps of the central lines that have not come."""
        return [self._step(row) for row in self._chooser.lacking()]

    def add(self, line: ismrmrd.Acquisition) -> bool:
        """Take a line; False if it has no place, cannot be used, or came before."""
        row, shape = place_of(self._encoding, line).row, line.data.shape
        if not 0 <= row < self._chooser.n_lines or row in self._chooser.rows or not np.isfinite(line.data).all():
            return False
        if shape != (self._shape or shape):
            return False
        self._shape = shape
        asked = self._asked.pop(self.n_lines, None)
        self.n_followed += asked == row
        self.n_missed += asked not in (row, None)
        self.n_lines += 1
        self._chooser.add(row, torch.tensor(line.data))
        return True

    def decide(self) -> Decision | None:
        """Choose the line that is `lookahead` lines ahead; None before the central lines are in, and after a stop."""
        if not self._chooser.is_calibrated or self.is_stopped:
            return None
        coming = [row for number, row in sorted(self._asked.items()) if row not in self._chooser.rows]
        self._told = self._chooser.decide(coming, self._terms.ranks)
        return self._told

    def settle(self, decision: Decision) -> tuple[int, ...]:
        """Ask for the best of a decision's rows, or stop; return the steps that are asked for."""
        n_then = self.n_lines + self._terms.lookahead - 1
        is_good = decision.nmse_limit < self._terms.target and self._n_told > 0
        if is_good or n_then >= self._terms.most or not decision.rows:
            self._stop_at, self._is_cut = n_then, self.follows
            self._say_stopped(decision, n_then, good_enough=is_good)
            return ()
        self._asked[n_then] = decision.rows[0]
        return tuple(map(self._step, decision.rows))

    def sum_up(self) -> str | None:
        """Say what went wrong between scanner and us, or None if nothing did; notes of an image without a stop."""
        if not self.is_stopped and self._told is not None:
            self.notes["kband_active"] = f"not stopped, at {self._so_far(self._told)}"
        flaws = [(self.n_missed, "were not followed"), (self.n_late, "came too late"),
                 (self.n_surplus, "lines came after the stop, and are left out")]  # fmt: skip
        told = ", ".join(f"{n} {what}" for n, what in flaws if n)
        return told and f"of {self._n_told + self.n_late} decisions {told}; the longest took {self.longest_ms:.0f} ms"

    @property
    def _n_told(self) -> int:
        return self.n_followed + self.n_missed

    def _say_stopped(self, decision: Decision, n_lines: int, *, good_enough: bool) -> None:
        if not self._is_cut:
            followed = f"{self.n_followed} of {self._n_told} decisions"
            self.notes["kband_active"] = f"not chosen: the scanner followed {followed}"
            return
        of_all = f"{n_lines} of {self._chooser.n_lines} lines"
        why = f"target {self._terms.target:.2g}" if good_enough else f"at most {self._terms.most} lines were wanted"
        self.notes["kband_active"] = f"stopped at {self._so_far(decision, n_lines)}: {why}"
        self.notes["ImageComments"] = f"STOPPED on purpose, {of_all}"

    def _so_far(self, decision: Decision, n_lines: int | None = None) -> str:
        n_lines = self.n_lines if n_lines is None else n_lines
        error = f"NMSE told {decision.nmse:.2g}, of 9 in 10 simulated ones below {decision.nmse_limit:.2g}"
        return f"{n_lines} of {self._chooser.n_lines} lines, {error}"

    def _step(self, row: int) -> int:
        return row - self._encoding.row(0)
