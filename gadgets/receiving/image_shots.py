"""One image while its shots arrive, each with the places of its samples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch

from gadgets import flags
from gadgets.encoding import Encoding
from gadgets.items import ReconBuffer
from gadgets.line_count import LineCount
from gadgets.mrd import ismrmrd
from gadgets.receiving.place import Place
from gadgets.receiving.role import Role
from gadgets.receiving.shot import Shot
from gadgets.receiving.shot_buffer import ShotBuffers
from gadgets.receiving.shot_places import ShotPlaces, measured


class ImageShots:
    """Shots of one image. `is_announced`: the header's limits tell how many there are."""

    def __init__(self, encoding: Encoding, *, is_announced: bool) -> None:
        self.encoding = encoding
        self._shots: dict[tuple[int, int, int, int], Shot] = {}  # by encoding steps, average, and arrival
        self._came: Counter[tuple[int, int]] = Counter()
        n_expected = len(encoding.step1) * len(encoding.step2) * encoding.n_averages
        self._n_expected = n_expected if is_announced else None
        self._last_seen = False

    def repeats(self, line: ismrmrd.Acquisition, role: Role, place: Place) -> bool:
        """Whether a shot comes more often than the announced averages allow."""
        return self._came[_steps(line)] >= self.encoding.n_averages

    def add(self, line: ismrmrd.Acquisition, places: ShotPlaces) -> None:
        """Add a shot; `places.misfit` must have found none."""
        data = torch.from_numpy(np.array(line.data[:, measured(line)]))
        shot = Shot(data, places.coords(self.encoding, line), places.density(self.encoding, line), line.getHead())
        steps = _steps(line)
        self._shots[(*steps, line.idx.average, self._came[steps])] = shot
        self._came[steps] += 1
        self._last_seen |= flags.last_in_loop(line)

    def count(self) -> LineCount:
        """Count the shots received against those that the header lets expect."""
        return LineCount(len(self._shots), self._n_expected)

    def may_leave(self) -> bool:
        """Whether all expected shots are in, or none can be counted and the scanner said 'last'."""
        complete = self.count().complete
        return self._last_seen if complete is None else complete

    def buffer(self, problems: Sequence[str], buffers: ShotBuffers) -> ReconBuffer:
        """Close the image; shots that never came are no part of it."""
        return buffers.of([self._shots[key] for key in sorted(self._shots)], self.encoding, self.count(), problems)


def _steps(line: ismrmrd.Acquisition) -> tuple[int, int]:
    return line.idx.kspace_encode_step_1, line.idx.kspace_encode_step_2
