"""What a scanner does that is told which line to measure: calibration, then decisions, or an order of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from gadgets.mrd import ismrmrd
from gadgets.receiving.image_lines import ImageKey
from kband_core.active.orders import central, centre_out, stepped_out
from pipelines.scanner.inbox import Inbox
from pipelines.scanner.owned_scan import OwnedScan, renumbered


@dataclass(frozen=True)
class Terms:
    """Calibration lines, how many lines ahead decisions are made, and how long to wait for one."""

    acs_lines: int
    lookahead: int
    deadline_s: float


@dataclass(frozen=True)
class Measured:
    """A line of an image: its row, the readout, and why it was measured: calibration, asked, or the scanner's order."""

    image: ImageKey
    row: int
    readout: int
    why: str


@dataclass
class Scanner:
    """Measures an `OwnedScan` line by line. `measured`: in which order, and why; `n_lost`: decisions that did not come.
    """

    scan: OwnedScan
    inbox: Inbox
    terms: Terms
    measured: list[Measured] = field(default_factory=list)
    n_lost: int = 0

    def lines(self) -> Iterator[ismrmrd.Acquisition]:
        """Yield the lines as they are measured; each waits for its decision, at most until the deadline."""
        readout = 0
        for line in self.scan.noise:
            readout += 1
            yield self._sent(line, readout)
        for key, rows in self.scan.images.items():
            for row, why in self._rows(key, rows.keys()):
                readout += 1
                self.measured.append(Measured(key, row, readout, why))
                yield self._sent(rows[row], readout)

    def _sent(self, line: ismrmrd.Acquisition, readout: int) -> ismrmrd.Acquisition:
        self.inbox.sent(readout)
        return renumbered(line, readout)

    def _rows(self, key: ImageKey, owned: set[int]) -> Iterator[tuple[int, str]]:
        n_lines, acs_lines = self.scan.encoding.encoded_matrix[1], self.terms.acs_lines
        acs = central(n_lines, acs_lines)
        left = [row for row in stepped_out(n_lines, acs_lines).tolist() if row in owned]
        for row in centre_out(n_lines).tolist():
            if acs.start <= row < acs.stop:
                left.remove(row)
                yield row, "calibration"
        for number in range(len(left)):
            row, why = left[0], "own order"
            if number >= self.terms.lookahead - 1:
                told = self.inbox.take(self._next_readout, self.terms.deadline_s)
                if told is not None and told.stop:
                    return
                rows = [] if told is None else map(self.scan.encoding.row, told.steps)
                row, why = next(((row, "asked") for row in rows if row in left), (row, why))
                self.n_lost += told is None
            left.remove(row)
            yield row, why

    @property
    def _next_readout(self) -> int:
        return self.measured[-1].readout + 1
