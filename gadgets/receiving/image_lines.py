"""One image while its lines arrive: k-space, its calibration lines, and whether anything is missing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import ismrmrd
import numpy as np
import torch

from gadgets import flags
from gadgets.items import LineCount, ReconBuffer
from gadgets.receiving.calibration_lines import CalibrationLines, central_lines, flagged_lines, gaps_between
from gadgets.receiving.held_out_lines import HeldOutLines
from gadgets.receiving.kspace_lines import KSpaceLines, count_lines, grid_rows
from gadgets.scan import Encoding
from kband_core.sampling import Grid


class ImageKey(NamedTuple):
    """Counters that tell one image from another; averages of one image share a key."""

    encoding: int
    slice: int
    contrast: int
    phase: int
    set: int
    repetition: int

    @classmethod
    def of(cls, line: ismrmrd.Acquisition | ismrmrd.AcquisitionHeader) -> ImageKey:
        """Tell which image a line belongs to."""
        return cls(line.encoding_space_ref, *(getattr(line.idx, name) for name in cls._fields[1:]))

    def __str__(self) -> str:
        extra = [f"{name} {value}" for name, value in zip(self._fields[2:], self[2:], strict=True) if value]
        return ", ".join([f"slice {self.slice}", *extra])


class ImageLines:
    """Lines of one image, imaging and calibration apart, with what the scanner's flags said of them."""

    def __init__(self, encoding: Encoding, n_coils: int, n_samples: int) -> None:
        self.encoding = encoding
        self.imaging = KSpaceLines(encoding, n_coils, n_samples)
        self.calibration: KSpaceLines | None = None
        self.held_out: HeldOutLines | None = None
        self._off_calibration = np.zeros(encoding.encoded_matrix[1], bool)
        self._first_seen = self._last_seen = False
        self._ends = np.zeros(encoding.encoded_matrix[1], bool)  # rows that the scanner marks as first or last
        self._n_averages = encoding.n_averages
        self._last_average = encoding.counters["average"].maximum if encoding.counters["average"] else 0
        self._fewest = (len(encoding.step1) // encoding.acceleration[0] - 1) * len(encoding.step2) * self._n_averages
        self._received = 0
        self._once_complete = False
        self._later_begun = 0  # repetitions that began since the last line

    def add(self, line: ismrmrd.Acquisition) -> None:
        """Put a line where its flags say: image, calibration, or both; or with those held out."""
        self._later_begun = 0
        if flags.is_held_out(line):
            if self.held_out is None:
                self.held_out = HeldOutLines(self.encoding, self.imaging.kspace.shape)
            self.held_out.add(line)
            return
        calibrates = flags.is_calibration(line)
        if self.encoding.is_interleaved:  # all lines of such repetitions may be flagged
            calibrates = flags.is_calibration_only(line) or (calibrates and self.calibration is not None)
        if calibrates:
            if self.calibration is None:
                n_coils, _, _, n_samples = self.imaging.kspace.shape
                self.calibration = KSpaceLines(self.encoding, n_coils, n_samples)
            self.calibration.add(line)
        if not flags.is_calibration_only(line):
            self.imaging.add(line)
            self._received += 1
            if not calibrates:
                self._off_calibration[self.encoding.row(line.idx.kspace_encode_step_1)] = True
            is_first = flags.first_in_loop(line)
            is_last = flags.last_in_loop(line) and line.idx.average >= self._last_average
            self._first_seen, self._last_seen = self._first_seen or is_first, self._last_seen or is_last
            self._ends[self.encoding.row(line.idx.kspace_encode_step_1)] |= is_first or is_last

    @property
    def begun(self) -> bool:
        """Whether any imaging line came."""
        return self._received > 0

    def count(self, gaps: np.ndarray | None = None) -> LineCount:
        """Count the lines received against those that the header lets expect, and missing calibration lines `gaps`."""
        return count_lines(
            self.encoding, self.imaging.counts, self._off_calibration,
            ends_seen=self._ends_seen, n_averages=self._n_averages, gaps=gaps,
        )  # fmt: skip

    def is_complete(self, *, countable: bool = True) -> bool:
        """Whether the image can leave: all expected lines are in, or none can be counted and the scanner said 'last'.

        Not `countable`: lines off the grid may follow, as they did in an image before, and only the scanner can tell.
        """
        if self._received < self._fewest:
            return False
        complete = self.count().complete
        self._once_complete |= complete is True
        return self._last_seen if complete is None or not countable else complete

    def has_outgrown_its_grid(self) -> bool:
        """Whether lines off the grid came when those on it were complete: so will those of the next repetition."""
        return self._once_complete and self.count().expected is None

    def is_over(self) -> bool:
        """Take notice that a later repetition begins; whether no more lines are awaited.

        Where lines cannot be counted one such repetition is enough. Else it takes two since the last line, of an image
        that lacks some of its lines but has most: in scans with repetitions as the inner loop they all begin at once.
        One that lacks nothing waits for its calibration.
        """
        self._later_begun += 1
        if not self.begun or self.count().expected is None:
            return self.begun
        lacks_lines = self._received < self._fewest or not self.count().complete
        return lacks_lines and self._later_begun > 1 and 2 * self._received > self._n_announced()

    def calibration_lines(self, n_lines: int) -> CalibrationLines | None:
        """Return what calibrates: flagged lines, or where there are none, the up to `n_lines` central ones."""
        if self.calibration is None:
            return central_lines(self.imaging, n_lines)
        return flagged_lines(self.calibration, self.imaging, embedded=self.encoding.is_embedded)

    def calibrates_all_partitions(self) -> bool:
        """Whether flagged lines came of every partition: those of one alone, the first of many, calibrate nothing."""
        return bool(self.calibration.counts[self.encoding.partitions].any(-1).all())

    @property
    def _ends_seen(self) -> bool:
        """Whether the scanner marked the outermost rows as first and last; segments have such lines within as well."""
        rows = np.flatnonzero(self.imaging.counts.any(0))
        return self._first_seen and self._last_seen and bool(self._ends[rows[[0, -1]]].all())

    def centre_just_completed(self, line: ismrmrd.Acquisition, n_lines: int) -> bool:
        """Whether `line`, just added, was the last of the `n_lines` central lines, all averages and partitions."""
        centre = self.imaging.counts.shape[1] // 2
        first, last = max(centre - n_lines // 2, 0), centre + (n_lines + 1) // 2
        if not first <= self.encoding.row(line.idx.kspace_encode_step_1) < last:
            return False
        return bool((self.imaging.counts[:, first:last] >= self._n_averages).all())

    def buffer(self, lines: CalibrationLines | None, problems: Sequence[str], *, serves: bool) -> ReconBuffer:
        """Close the image, calibrated by `lines`, which may serve it too if they are its own.

        Calibration lines that it should have had count among those missing.
        """
        headers, counts = np.empty((1, 1, 1), object), np.empty((1, 1, 1), object)
        headers[0, 0, 0], counts[0, 0, 0] = self.imaging.header, self._count_with_calibration()
        return ReconBuffer(
            kspace=self.imaging.averaged()[None, None, None],
            sampling=Grid(torch.from_numpy(self.imaging.counts > 0)[None, None, None, ..., None]),
            headers=headers,
            counts=counts,
            encoding=self.encoding,
            readout=self.imaging.readout,
            acs=None if lines is None else lines.acs[None],
            acs_row=lines.row if lines and serves else None,
            held_out=None if self.held_out is None else self.held_out.pair(),
            problems=tuple(problems),
        )

    def _count_with_calibration(self) -> LineCount:
        if self.calibration is None or not self.begun:
            return self.count()
        return self.count(gaps_between(self.calibration, self.imaging, embedded=self.encoding.is_embedded))

    def _n_announced(self) -> int:
        """How many lines there are within the header's limits, whatever the scanner marks as first and last."""
        rows = self.encoding.expected_rows(grid_rows(self._off_calibration, self.imaging.counts), ends_seen=False)
        return int(rows.sum()) * len(self.encoding.step2) * self._n_averages
