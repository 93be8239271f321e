"""Decisions on their way to the scanner: which line readout number so-and-so is to measure, in time or lost."""

from __future__ import annotations

import threading
import time

from gadgets.active.feedback import Feedback
from gadgets.mrd import ismrmrd


class Inbox:
    """Holds what came for readouts that are still to be measured. One thread puts, another takes."""

    def __init__(self) -> None:
        self._waiting: dict[int, Feedback] = {}
        self._sent_at: dict[int, float] = {}
        self._changed = threading.Condition()
        self._next = 0  # readout that is measured next: decisions for those before come too late
        self.latencies_ms: dict[int, float] = {}  # by the readout that was looked at
        self.n_too_late = 0

    def sent(self, readout: int) -> None:
        """Note that a readout leaves now."""
        with self._changed:
            self._sent_at[readout], self._next = time.perf_counter(), readout + 1

    def put(self, waveform: ismrmrd.Waveform) -> None:
        """Take a waveform, if it is feedback. Raises `ValueError` if it says nothing."""
        told = Feedback.read(waveform)
        if told is None:
            return
        with self._changed:
            if told.after in self._sent_at:
                self.latencies_ms[told.after] = 1000 * (time.perf_counter() - self._sent_at[told.after])
            if told.applies_to < self._next:
                self.n_too_late += 1
                return
            self._waiting[told.applies_to] = told
            self._changed.notify_all()

    def take(self, readout: int, seconds: float) -> Feedback | None:
        """Return the decision for a readout, waiting for it at most so long; None if it has not come."""
        with self._changed:
            self._changed.wait_for(lambda: readout in self._waiting, seconds)
            return self._waiting.pop(readout, None)
