"""How long each gadget of a chain takes."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any


class Clock:
    """An iterator that adds up the time its source takes, everything before it included."""

    def __init__(self, source: Iterable[Any]) -> None:
        self._source = iter(source)
        self.seconds = 0.0
        self._since: float | None = None  # when the step under way began

    def __iter__(self) -> Clock:
        return self

    def __next__(self) -> Any:
        self._since = time.perf_counter()
        try:
            return next(self._source)
        finally:
            self.seconds += time.perf_counter() - self._since
            self._since = None

    def until(self, now: float) -> float:
        """Return the seconds up to `now`, those of a step under way included."""
        return self.seconds if self._since is None else self.seconds + now - self._since
