"""One image while its lines arrive: k-space, its calibration lines, and whether anything is missing."""

from __future__ import annotations

from typing import NamedTuple

import ismrmrd
import numpy as np
import torch
from torch import Tensor

from gadgets import flags
from gadgets.held_out_lines import HeldOutLines
from gadgets.items import LineCount, ReconBuffer
from gadgets.kspace_lines import KSpaceLines, acs_block, calibration_block, count_lines
from gadgets.scan import Encoding


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
        self.problems: list[str] = []
        self._off_calibration = np.zeros(encoding.encoded_matrix[1], bool)
        self._first_seen = self._last_seen = False
        self._n_averages = encoding.n_averages
        self._last_average = encoding.counters["average"].maximum if encoding.counters["average"] else 0
        self._fewest = (len(encoding.step1) // encoding.acceleration[0] - 1) * len(encoding.step2) * self._n_averages
        self._received = 0

    def add(self, line: ismrmrd.Acquisition) -> None:
        """Put a line where its flags say: image, calibration, or both; or with those held out."""
        if flags.is_held_out(line):
            if self.held_out is None:
                self.held_out = HeldOutLines(self.encoding, self.imaging.kspace.shape)
            self.held_out.add(line)
            return
        if flags.is_calibration(line):
            if self.calibration is None:
                n_coils, _, _, n_samples = self.imaging.kspace.shape
                self.calibration = KSpaceLines(self.encoding, n_coils, n_samples)
            self.calibration.add(line)
        if not flags.is_calibration_only(line):
            self.imaging.add(line)
            self._received += 1
            if not flags.is_calibration(line):
                self._off_calibration[self.encoding.row(line.idx.kspace_encode_step_1)] = True
            self._first_seen |= flags.first_in_loop(line)
            self._last_seen |= flags.last_in_loop(line) and line.idx.average >= self._last_average

    @property
    def begun(self) -> bool:
        """Whether any imaging line came."""
        return self._received > 0

    def count(self) -> LineCount:
        """Count the lines received against those that the header lets expect."""
        return count_lines(
            self.encoding, self.imaging.counts, self._off_calibration,
            ends_seen=self._first_seen and self._last_seen, n_averages=self._n_averages,
        )  # fmt: skip

    def is_complete(self) -> bool:
        """Whether the image can leave: all expected lines are in, or none are counted and the scanner said 'last'."""
        if self._received < self._fewest:
            return False
        complete = self.count().complete
        return self._last_seen if complete is None else complete

    def acs(self, n_lines: int) -> tuple[Tensor, int | None] | None:
        """Return ACS [z coil ky kx] and the row from which it may serve the image too; None without calibration lines.

        Flagged lines calibrate; where none are flagged, the up to `n_lines` central lines of the image itself do.
        """
        if self.calibration is None:
            rows = self.imaging.rows()
            centre = len(rows) // 2
            window = np.zeros_like(rows)
            window[max(centre - n_lines // 2, 0) : centre + (n_lines + 1) // 2] = True
            block = acs_block(rows & window)
            return (calibration_block(self.imaging.averaged(), block), None) if block.stop > block.start else None
        kspace, rows = self.calibration.averaged(), self.calibration.rows()
        if self.encoding.calibration_mode != "embedded":
            block = acs_block(rows)
            return calibration_block(kspace, block), None
        flagged = np.flatnonzero(rows)
        between = np.zeros_like(rows)
        between[flagged[0] : flagged[-1]] = True
        unflagged = self.imaging.rows() & between & ~rows  # a scanner may flag only the extra lines
        kspace = torch.where(torch.from_numpy(unflagged)[:, None], self.imaging.averaged(), kspace)
        block = acs_block(rows | unflagged)
        return calibration_block(kspace, block), block.start

    def centre_just_completed(self, line: ismrmrd.Acquisition, n_lines: int) -> bool:
        """Whether `line`, just added, was the last of the `n_lines` central lines, all averages and partitions."""
        centre = self.imaging.counts.shape[1] // 2
        first, last = max(centre - n_lines // 2, 0), centre + (n_lines + 1) // 2
        if not first <= self.encoding.row(line.idx.kspace_encode_step_1) < last:
            return False
        return bool((self.imaging.counts[:, first:last] >= self._n_averages).all())

    def buffer(self, acs: Tensor | None, acs_row: int | None) -> ReconBuffer:
        """Close the image."""
        headers, counts = np.empty((1, 1, 1), object), np.empty((1, 1, 1), object)
        headers[0, 0, 0], counts[0, 0, 0] = self.imaging.header, self.count()
        return ReconBuffer(
            kspace=self.imaging.averaged()[None, None, None],
            mask=torch.from_numpy(self.imaging.counts > 0)[None, None, None],
            headers=headers,
            counts=counts,
            encoding=self.encoding,
            readout=self.imaging.readout,
            acs=None if acs is None else acs[None],
            acs_row=acs_row,
            held_out=None if self.held_out is None else self.held_out.pair(),
            problems=tuple(self.problems),
        )
