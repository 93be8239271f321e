"""Echoes of one image that wait until its trains are complete, navigators included."""

from __future__ import annotations

import numpy as np

from gadgets.encoding import Encoding
from gadgets.epi.shots import Echo, Shot, shots_of
from gadgets.mrd import ismrmrd
from gadgets.receiving.ledger import Ledger
from gadgets.receiving.place import place_of
from gadgets.receiving.role import role_of


class WaitingEchoes:
    """Echoes of one image in the order of their arrival, with the same account of its lines as the buffer keeps."""

    def __init__(self, encoding: Encoding) -> None:
        self._encoding = encoding
        self._counts = np.zeros(encoding.encoded_matrix[2:0:-1], np.int64)
        self._ledger = Ledger(encoding, self._counts)
        self._echoes: list[Echo] = []

    def add(self, echo: Echo, line: ismrmrd.Acquisition) -> list[Shot]:
        """Take an echo in; return shots that only calibrate, if it shows that they are complete."""
        finished: list[Shot] = []
        is_image = role_of(line).fills_image
        if is_image and self._echoes and self._ledger.received == 0:
            finished = self._calibration_shots()
        self._echoes.append(echo)
        if is_image:
            place = place_of(self._encoding, line)
            if all(0 <= at < size for at, size in zip(place, self._counts.shape, strict=True)):
                self._counts[place] += 1
                self._ledger.note(line, place, calibrates=role_of(line).calibrates)
        return finished

    def is_complete(self) -> bool:
        """Whether all lines of the image are in."""
        return self._ledger.received > 0 and self._ledger.may_leave(countable=True)

    def has_most(self) -> bool:
        """Whether most lines of the image are in: no more come when the next repetition has begun."""
        return self._ledger.has_most()

    def has_begun(self) -> bool:
        """Whether a line of the image came, and not only such that calibrate, or navigators."""
        return self._ledger.received > 0

    def awaits_navigators(self, n_announced: int | None) -> bool:
        """Whether a shot that no navigators have opened has fewer than announced, so that they may come behind it."""
        if self._echoes[0].is_navigator:
            return False
        return any(n_announced is None or len(shot.navigators) < n_announced for shot in self.shots())

    def shots(self) -> list[Shot]:
        """All that came, by trains."""
        return shots_of(self._echoes)

    def _calibration_shots(self) -> list[Shot]:
        """Take out shots that only calibrate; navigators of the image's first shot, which may be in, stay."""
        shots = self.shots()
        finished = [shot for shot in shots if any(echo.only_calibrates for echo in shot.echoes)]
        gone = {id(echo) for shot in finished for echo in (*shot.navigators, *shot.echoes)}
        self._echoes = [echo for echo in self._echoes if id(echo) not in gone]
        return finished
