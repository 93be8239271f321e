"""Let a training end between two steps when it is told to."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass
class Told:
    """Whether someone asked to stop."""

    to_stop: bool = False


@contextmanager
def listening() -> Iterator[Told]:
    """Take Ctrl-C and SIGTERM, by which clusters announce their end, as a wish; a second Ctrl-C interrupts at once."""
    told = Told()

    def hear(number: int, _: object) -> None:
        if told.to_stop and number == signal.SIGINT:
            raise KeyboardInterrupt
        told.to_stop = True

    before = {number: signal.signal(number, hear) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
