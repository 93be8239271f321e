"""When a network that adapts has learnt enough, and whether that was worth it."""

from __future__ import annotations

import math

EVERY = 5  # steps from one look at the lines that judge to the next
PATIENCE = 3  # looks without a gain
LEAST_GAIN = 0.01  # of their error: up to 1.0 % was gained by chance on simulated scans of the kind trained on


class StoppingRule:
    """Looks at the error of the lines that judge: `before`, and the `least` of all looks so far, that of `step`."""

    def __init__(self, before: float) -> None:
        self.before = self.least = before
        self.step = 0
        self.is_over = not math.isfinite(before)

    def look(self, step: int, error: float) -> bool:
        """Return whether the error after `step` steps is the least so far; one that is not finite ends it, no gain."""
        is_least = error < self.least
        if not math.isfinite(error):
            self.least, self.step = self.before, 0
        elif is_least:
            self.least, self.step = error, step
        self.is_over = not math.isfinite(error) or step - self.step >= PATIENCE * EVERY
        return is_least

    @property
    def has_gained(self) -> bool:
        """Whether 1 % of the error is gone, or more."""
        return self.step > 0 and self.least <= (1 - LEAST_GAIN) * self.before
