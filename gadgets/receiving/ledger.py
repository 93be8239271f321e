"""The account of one image: which lines came, which are expected, what the scanner said of them.

Facts are added when a line comes; questions change nothing.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import torch

from gadgets import flags
from gadgets.encoding import Encoding
from gadgets.line_count import LineCount
from gadgets.mrd import ismrmrd
from gadgets.receiving.place import Place
from kband_core.lattice import fit_lattice, lines_left_out
from kband_core.sampling import corners_left_out

MOST_LOST = 0.25  # of the lines: more gaps, spread over k-space, were never to be filled
FEWEST_GAPS = 3
MOST_ODD = 0.1  # of an image's lines: more of them are a part of the scan with counters of its own, as a segment is


class Ledger:
    """Lines of one image. `counts` [kz ky]: how often each came, kept by whoever sums them up."""

    def __init__(self, encoding: Encoding, counts: np.ndarray) -> None:
        self.received = 0
        self.complete: bool | None = False  # None: the header cannot tell how many lines there are
        self.outgrew_grid = False  # lines off the grid came when those on it were complete
        self._encoding, self._counts = encoding, counts
        self._was_complete = False
        self._off_calibration = np.zeros(counts.shape, bool)
        self._first_seen = self._last_seen = False
        self._ends = np.zeros(counts.shape[1], bool)  # rows that the scanner marks as first or last
        average = encoding.counters["average"]
        self._announces_averages, self._last_average = average is not None, average.maximum if average else 0
        self._slab_ended = False  # the scanner has marked the last line of all partitions
        rows = len(encoding.step1) // (1 if encoding.accelerates_partitions else encoding.acceleration[0]) - 1
        self._fewest = 1 if encoding.chosen else rows * len(encoding.step2) * encoding.n_averages
        self._addresses: set[tuple[int, int, int]] = set()
        self._averages: set[int] = set()
        self._under: Counter[tuple[int, ...]] = Counter()  # lines by segment and user counters

    def repeats(self, line: ismrmrd.Acquisition, place: Place) -> bool:
        """Whether a line comes more often than the announced averages allow.

        Scanners that announce averages need not number them; where they do, each number comes once. Where none are
        announced, their numbers tell.
        """
        came = (*place, line.idx.average) in self._addresses
        if not self._announces_averages:
            return came
        return bool(self._counts[place] >= self._n_averages) or (len(self._averages) > 1 and came)

    def note(self, line: ismrmrd.Acquisition, place: Place, *, calibrates: bool) -> None:
        """Enter a line of the image, which `counts` holds already; `calibrates`: it is flagged for calibration."""
        self.received += 1
        self._addresses.add((*place, line.idx.average))
        self._averages.add(line.idx.average)
        self._under[(line.idx.segment, *line.idx.user)] += 1
        self._off_calibration[place] |= not calibrates
        is_first = flags.first_in_loop(line)
        is_last = flags.last_in_loop(line) and line.idx.average >= self._last_average
        self._first_seen, self._last_seen = self._first_seen or is_first, self._last_seen or is_last
        self._ends[place.row] |= is_first or is_last
        self._slab_ended |= is_last and len(self._counts) > 1 and flags.last_in_slice(line)
        if self.received >= self._fewest or self._slab_ended:
            self.complete = self.count().complete
            self._was_complete |= self.complete is True
            self.outgrew_grid = self._was_complete and self.complete is None

    def count(self, gaps: np.ndarray | None = None) -> LineCount:
        """Count the lines received against those that the header lets expect.

        `gaps`: bool [kz ky], calibration lines that are missing, which count among the expected, once if they are the
        image's too. Of lines that are chosen as the image grows, the last one is marked: without a mark it lacks some.
        """
        if self._encoding.chosen:
            received = int(self._counts.sum())
            return LineCount(received, received if self._last_seen else max(received, self._encoding.chosen))
        grid = self._grid()
        if grid is None:
            received = int(self._counts.sum())
            return LineCount(received, received + int(gaps.sum()) if gaps is not None and gaps.any() else None)
        if self._is_undersampled_unannounced(grid):
            return LineCount(int(self._counts.sum()), None)
        wanted = self._counts[grid & ~self._left_out()]
        missing = np.zeros(self._counts.shape, bool) if gaps is None else gaps
        if self._encoding.is_embedded:
            missing = missing & ~grid
        n_expected = wanted.size * self._n_averages + int(missing.sum())
        return LineCount(int(np.minimum(wanted, self._n_averages).sum()), n_expected)

    def may_leave(self, *, countable: bool) -> bool:
        """Whether all expected lines are in, or none can be counted and the scanner said 'last'.

        Not `countable`: lines off the grid may follow, as they did in an image before, and only the scanner can tell.
        """
        if self.received < self._fewest and not self._slab_ended:
            return False
        return self._last_seen if self.complete is None or not countable else self.complete

    def has_most(self) -> bool:
        """Whether more than half of the lines within the header's limits came, or nobody can say."""
        grid = self._grid(ends_seen=False)
        if grid is None:
            return self.received > 0
        return 2 * self.received > int(grid.sum()) * self._n_averages

    def oddity(self) -> str | None:
        """Say that a few lines came under other counters than the rest, which nothing here tells apart, or None."""
        n_odd = self.received - max(self._under.values(), default=0)
        if not 0 < n_odd <= MOST_ODD * self.received:
            return None
        return f"{n_odd} of {self.received} lines came under other segment or user counters than the rest"

    @property
    def _n_averages(self) -> int:
        """How often each line comes: as announced, else as often as the averages' numbers have told so far."""
        return self._encoding.n_averages if self._announces_averages else max(len(self._averages), 1)

    def _is_undersampled_unannounced(self, grid: np.ndarray) -> bool:
        """Whether lines are left out all over k-space, though the header says R=1, in a scan that has not been cut off.

        A cut is told by the mark on the last line, which has not come, where the scanner marks first ones.
        """
        is_cut_off = self._first_seen and not self._last_seen
        if self._encoding.total_acceleration > 1 or is_cut_off:
            return False
        came = self._counts[self._encoding.partitions][:, grid.any(0)] > 0
        return _is_thinned(came.any(0)[None]) or _is_thinned(came | self._left_out()[grid].reshape(came.shape))

    def _grid(self, *, ends_seen: bool | None = None) -> np.ndarray | None:
        """Lines that a complete image has, bool [kz ky], corners included; None where the header cannot tell.

        Those on the grid of the lines without a calibration flag, or of all that came.
        """
        encoding = self._encoding
        lines = self._off_calibration if self._off_calibration.any() else self._counts > 0
        if encoding.accelerates_partitions:
            return self._lattice(lines)
        rows = encoding.expected_rows(lines.any(0), self._ends_seen() if ends_seen is None else ends_seen)
        return None if rows is None else encoding.inside & rows

    def _lattice(self, lines: np.ndarray) -> np.ndarray | None:
        if not lines.any():
            return None
        on = fit_lattice(torch.from_numpy(lines), self._encoding.acceleration).mask(lines.shape).numpy()
        return None if (lines & ~on).any() else on & self._encoding.inside

    def _left_out(self) -> np.ndarray:
        """Lines in the corners of k-space that were left out on purpose, bool [kz ky]."""
        came = torch.from_numpy(self._counts > 0)
        if not self._encoding.accelerates_partitions:
            return corners_left_out(came).numpy()
        return lines_left_out(came, fit_lattice(came, self._encoding.acceleration)).numpy()

    def _ends_seen(self) -> bool:
        """Whether the scanner marked the outermost rows as first and last; segments have such lines within as well."""
        if not (self._first_seen and self._last_seen):
            return False
        rows = np.flatnonzero(self._counts.any(0))
        return bool(self._ends[rows[[0, -1]]].all())


def _is_thinned(came: np.ndarray) -> bool:
    """Whether so many of the lines [kz ky] did not come, in so many places, that they were never to come.

    A scan that was cut off, or has partial Fourier, leaves one gap in a partition at most.
    """
    n_gaps = np.count_nonzero(np.diff(came.astype(np.int8), axis=1) == -1)
    is_spread = n_gaps >= FEWEST_GAPS and n_gaps > np.count_nonzero(came.any(1))
    return bool(is_spread and np.count_nonzero(~came) > MOST_LOST * came.size)
