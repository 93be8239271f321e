"""Lines that have come of a scan, against those that its header announces."""

from __future__ import annotations

import time
from collections import Counter
from math import ceil, prod

from gadgets.encoding import Encoding
from gadgets.mrd import ismrmrd
from gadgets.receiving.image_lines import ImageKey
from gadgets.receiving.role import role_of
from gadgets.scan import Scan
from pipelines.protocol.framing import Buffer


def announced_lines(scan: Scan) -> int | None:
    """Count the lines of the images' grid, of all encodings whose limits the header tells; None if it tells none.

    Calibration lines off the grid, noise and navigators come on top: no header tells their number.
    """
    numbers = [_lines_of(each) for each in scan.encodings if scan.announces_step1(each.index)]
    return sum(numbers) if numbers else None


def _lines_of(encoding: Encoding) -> int:
    limits = [encoding.counters[name] for name in ImageKey._fields[1:]]
    n_images = prod(len(limit) for limit in limits if limit)
    rows = ceil(len(encoding.step1) / encoding.acceleration[0])
    return rows * ceil(len(encoding.step2) / encoding.acceleration[1]) * encoding.n_averages * n_images


class LineTally:
    """Counts the lines of a scan as they come: `received`, and `on_grid`, which `announced` can be compared with.

    The grid is that part of the lines, every Rth along each step, of which most have come. Where the grids of
    repetitions calibrate one another, all lines are on one.
    """

    def __init__(self, scan: Scan | None) -> None:
        self.received = 0
        self.first_at: float | None = None
        self.last_at: float | None = None
        self.announced = announced_lines(scan) if scan else None
        encodings = scan.encodings if scan else ()
        self._steps = [(1, 1) if each.is_interleaved else each.acceleration for each in encodings]
        self._classes: Counter[tuple[int, int, int]] = Counter()

    def add(self, head: Buffer) -> None:
        """Count a line by its MRD header."""
        self.received += 1
        self.last_at = time.time()
        self.first_at = self.first_at or self.last_at
        line = ismrmrd.AcquisitionHeader.from_buffer_copy(head)
        encoding = line.encoding_space_ref
        if encoding < len(self._steps) and role_of(line).fills_image:
            along1, along2 = self._steps[encoding]
            place = line.idx.kspace_encode_step_1 % along1, line.idx.kspace_encode_step_2 % along2
            self._classes[(encoding, *place)] += 1

    @property
    def on_grid(self) -> int:
        """Lines on the grid of the images; may be asked while lines come."""
        most: dict[int, int] = {}
        for (encoding, *_), number in self._classes.copy().items():
            most[encoding] = max(most.get(encoding, 0), number)
        return sum(most.values())
