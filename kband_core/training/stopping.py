"""Let a training end between two steps when it is told to."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass
class Told:
    """Whether someone asked to stop, or the time is `over`, by `time.perf_counter`."""

    over: float = math.inf
    by_signal: bool = False

    @property
    def to_stop(self) -> bool:
        return self.by_signal or time.perf_counter() > self.over


@contextmanager
def listening(until: float = math.inf) -> Iterator[Told]:
    """Take Ctrl-C and SIGTERM, by which clusters announce their end, as a wish; a second Ctrl-C interrupts at once.

    `until`, by `time.perf_counter`, is another end.
    """
    told = Told(until)

    def hear(number: int, _: object) -> None:
        if told.by_signal and number == signal.SIGINT:
            raise KeyboardInterrupt
        told.by_signal = True

    before = {number: signal.signal(number, hear) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
