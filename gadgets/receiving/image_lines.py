"""One image while its lines arrive: k-space, its calibration lines, those that judge it, and its ledger."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from gadgets.encoding import SOURCE, Encoding
from gadgets.items import ReconBuffer
from gadgets.line_count import LineCount
from gadgets.mrd import ismrmrd
from gadgets.receiving.calibration import (
    CalibrationLines,
    central_lines,
    central_rows,
    flagged_lines,
    flaw_of,
    missing_lines,
)
from gadgets.receiving.energy_centre import rows_off_centre
from gadgets.receiving.held_out_lines import HeldOutLines
from gadgets.receiving.kspace_lines import KSpaceLines
from gadgets.receiving.ledger import Ledger
from gadgets.receiving.place import Place
from gadgets.receiving.role import Role
from gadgets.receiving.turned import rows_change, separate_x, turned_calibration, turned_lines, with_calibration
from gadgets.receiving.watched_lines import WatchedLines
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


FEWEST = 4  # calibration rows, from the first to the last: of fewer no method makes anything


class ImageLines:
    """Lines of one image: imaging, calibration and held out apart. `problems`: what goes into its comment."""

    def __init__(self, encoding: Encoding, n_coils: int, n_samples: int) -> None:
        self.encoding = encoding
        self.imaging = WatchedLines(encoding, n_coils, n_samples)
        self.calibration: KSpaceLines | None = None
        self.held_out: HeldOutLines | None = None
        self.ledger = Ledger(encoding, self.imaging.counts)
        self.is_turned = encoding.accelerates_partitions  # planes are (kz, ky), one for each x
        self._flags_grid = False  # the scanner flags calibration lines on the grid too
        self._rises = self._falls = True  # lines come row by row, this way or the other
        self._latest: Place | None = None
        self._remarks: list[str] = []
        self._counted: LineCount | None = None

    @property
    def begun(self) -> bool:
        """Whether any imaging line came."""
        return self.ledger.received > 0

    def repeats(self, line: ismrmrd.Acquisition, role: Role, place: Place) -> bool:
        """Whether a line comes more often than the announced averages allow."""
        if role.fills_image:
            return self.ledger.repeats(line, place)
        if role is Role.CALIBRATION and self.calibration is not None:
            return bool(self.calibration.counts[place] >= self.encoding.n_averages)
        return False

    def add(self, line: ismrmrd.Acquisition, role: Role, place: Place) -> None:
        """Put a line where its role says: image, calibration, or both; or with those held out."""
        if role is Role.HELD_OUT:
            if self.held_out is None:
                self.held_out = HeldOutLines(self.encoding, *self._shape)
            self.held_out.add(line, place)
        if role.calibrates:
            if self.calibration is None:
                self.calibration = KSpaceLines(self.encoding, *self._shape)
            self.calibration.add(line, place)
            self._flags_grid |= role is Role.BOTH
        if self._latest is not None:
            self._rises, self._falls = self._rises and place >= self._latest, self._falls and place <= self._latest
        self._latest = place
        if role.fills_image:
            self.imaging.add(line, place)
            self.ledger.note(line, place, calibrates=role.calibrates)

    def lacks_lines(self) -> bool:
        """Whether a line is missing that can be missed, of the image or between its calibration lines."""
        return not self.ledger.complete or self.lacks_calibration()

    def lacks_calibration(self) -> bool:
        """Whether a line is missing between flagged calibration lines."""
        return self.calibration is not None and bool(missing_lines(self.calibration, self.imaging).any())

    def calibrates_all_partitions(self) -> bool:
        """Whether flagged lines came of every partition: those of one alone, the first of many, calibrate nothing.

        Planes (kz, ky) need those of the central partitions only.
        """
        return self.is_turned or bool(self.calibration.counts[self.encoding.partitions].any(-1).all())

    def calibration_goes_on(self, place: Place) -> bool:
        """Whether a line without flag does not end the calibration, where the scanner flags only lines off the grid.

        One next to flagged lines does not, nor one behind too few of them; where rows come in segments, none does until
        the image is complete.
        """
        if self.is_turned:
            return self._turned_calibration_goes_on(place)
        if self._flags_grid or not self.encoding.is_embedded:
            return False
        if not (self._rises or self._falls):
            return self.ledger.complete is False
        rows = np.flatnonzero(self.calibration.counts.any(0))
        return bool(rows[0] - 1 <= place.row <= rows[-1] + 1) or rows[-1] - rows[0] < FEWEST - 1

    def _turned_calibration_goes_on(self, place: Place) -> bool:
        """The same, of a block of partitions: it ends behind the rows of the last one, or with the next but one."""
        if not (self._rises or self._falls):
            return self.ledger.complete is False
        partitions, rows = np.nonzero(self.calibration.counts)
        if self._rises:
            return (place.partition - 1, place.row) <= (partitions.max(), rows.max())
        return (place.partition + 1, place.row) >= (partitions.min(), rows.min())

    def calibration_lines(self, n_lines: int) -> CalibrationLines | None:
        """Return what calibrates: flagged lines, or where there are none, the up to `n_lines` central ones."""
        if self.is_turned:
            return self._turned_calibration_lines(n_lines)
        if self.calibration is None:
            return central_lines(self.imaging, n_lines)
        return flagged_lines(self.calibration, self.imaging)

    def _turned_calibration_lines(self, n_lines: int) -> CalibrationLines | None:
        if self.calibration is None:
            return turned_lines(self.imaging.averaged(), (self.imaging.counts > 0) & self._centre(n_lines), None)
        kspace, present = self.calibration.averaged(), self.calibration.counts > 0
        if self.encoding.is_embedded:
            kspace, present = with_calibration(self.imaging, self.calibration)
        return turned_lines(kspace, present, flaw_of(missing_lines(self.calibration, self.imaging)))

    def has_centre(self, n_lines: int) -> bool:
        """Whether the `n_lines` central lines of all averages, and of all partitions that count, are in."""
        return bool((self.imaging.counts[self._centre(n_lines)] >= self.encoding.n_averages).all())

    def is_central(self, place: Place, n_lines: int) -> bool:
        """Whether a line is one of the `n_lines` central ones."""
        return bool(self._centre(n_lines)[place])

    def _centre(self, n_lines: int) -> np.ndarray:
        """The `n_lines` central rows of all partitions, bool [kz ky], or of as many central ones of planes (kz, ky)."""
        partitions, rows = (central_rows(n, n_lines) for n in self.imaging.counts.shape)
        return (partitions | (not self.is_turned))[:, None] & rows

    def has_neighbours_in_the_centre(self) -> bool:
        """Whether the line next to the central one came as well, along every accelerated direction: without such lines
        nothing can be calibrated."""
        if self.is_turned:
            kz, ky = (n // 2 for n in self.imaging.counts.shape)
            return bool(self.imaging.counts[kz - 1 : kz + 1, ky - 1 : ky + 1].all())
        rows, centre = self.imaging.counts.any(0), self.imaging.counts.shape[1] // 2
        return bool(rows[centre] and rows[max(centre - 1, 0) : centre + 2].sum() > 1)

    def settle(self) -> None:
        """Tell, now that no line follows, whether planes are (kz, ky): where lines of no header's pattern differ from
        partition to partition. Move lines to where their energy says they belong, if the header has put them elsewhere.
        """
        if self.ledger.count().expected is None and rows_change(self.imaging):
            self.is_turned = True
        n_rows = self.imaging.counts.shape[1]
        off, is_a_hill = rows_off_centre(self.imaging)
        if not off:
            return
        self._counted = self._count()  # by the header, whose rows these are
        if not is_a_hill:
            self._counted = self._counted._replace(received=self._counted.received - 1)
            self._remarks.append(f"row {n_rows // 2 + off} is stronger than the centre, and alone: another's counters")
            return
        self._remarks.append(
            f"most energy lies in row {n_rows // 2 + off}, but the header's centre is row {n_rows // 2}: moved there"
        )
        for lines in filter(None, (self.imaging, self.calibration, self.held_out)):
            lines.move(-off)

    def _count(self) -> LineCount:
        """Lines received and expected, calibration lines that are missing among these."""
        count = self.ledger.count(None if self.calibration is None else missing_lines(self.calibration, self.imaging))
        return LineCount(count.received, None) if self.encoding.flaw else count  # of such a header nobody knows

    def buffer(self, lines: CalibrationLines | None, problems: Sequence[str], *, serves: bool) -> ReconBuffer:
        """Close the image, calibrated by `lines`, which may serve it too if they are its own.

        Calibration lines that it should have had count among those missing.
        """
        headers, counts = np.empty((1, 1, 1), object), np.empty((1, 1, 1), object)
        headers[0, 0, 0], counts[0, 0, 0] = self.imaging.header, self._counted or self._count()
        remarks = filter(None, (self.encoding.flaw, *self._remarks, self.ledger.oddity()))
        kspace, mask = self.imaging.averaged(), torch.from_numpy(self.imaging.counts > 0)[..., None]
        if self.is_turned:
            lines = lines and turned_calibration(lines)
            kspace, mask = self._separated(serves=serves)
        elif lines and lines.turned:  # borrowed from an image whose lines were others
            lines = None
        return ReconBuffer(
            kspace=kspace[None, None, None],
            sampling=Grid(mask[None, None, None]),
            headers=headers,
            counts=counts,
            encoding=self.encoding,
            readout=self.imaging.readout,
            acs=None if lines is None else lines.acs[None],
            acs_row=lines.row if lines and serves else None,
            held_out=None if self.held_out is None else self.held_out.pair(),
            looked=self.imaging.looked(kspace),
            coming=self.imaging.coming,
            problems=(*problems, *remarks),
            notes={} if (said := self.encoding.source) is None else {SOURCE: said, "ImageComments": said},
            turned=self.is_turned,
        )

    def _separated(self, *, serves: bool) -> tuple[Tensor, Tensor]:
        """K-space `(coil, x, kz, ky)` and its mask `(1, kz, ky)`, with own calibration lines that may serve it."""
        own = self.calibration if serves and self.encoding.is_embedded else None
        kspace, present = with_calibration(self.imaging, own)
        return separate_x(kspace), torch.from_numpy(present)[None]

    @property
    def _shape(self) -> tuple[int, int]:
        """Coils and samples."""
        return self.imaging.kspace.shape[0], self.imaging.kspace.shape[-1]
