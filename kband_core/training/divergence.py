"""A training that diverges, named long before its numbers end."""

from __future__ import annotations

import math
from collections import deque

STEPS = 10  # whose mean is compared: of one step it scatters
FACTOR = 10.0  # times the lowest mean so far
LOWEST = 1e-6  # a loss that cannot be told from none, and tenfold as little


class Divergence:
    """Hear the loss of each step, and compare the mean of the last ten with the lowest so far."""

    def __init__(self) -> None:
        self._last: deque[float] = deque(maxlen=STEPS)
        self._lowest = math.inf

    def problem(self, loss: float) -> str | None:
        """Say that the loss has left where it was, once for each tenfold; or return None."""
        if not math.isfinite(loss):
            return None
        self._last.append(loss)
        mean, lowest = sum(self._last) / len(self._last), self._lowest
        self._lowest = min(lowest, mean)
        if lowest == math.inf or mean < FACTOR * max(lowest, LOWEST):
            return None
        self._lowest = mean
        return (
            f"the loss is {mean:.3g}, {mean / lowest:.0f} times the lowest so far: the training diverges; lower the "
            "learning rate, or clip gradients"
        )
