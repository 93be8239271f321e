"""A training that diverges, named long before its numbers end."""

from __future__ import annotations

import math

FACTOR = 10.0  # times the lowest mean loss so far
LOWEST = 1e-6  # a loss that cannot be told from none, and tenfold as little


class Divergence:
    """Compare the mean losses of a training, as they are logged, with the lowest of them."""

    def __init__(self) -> None:
        self._lowest = math.inf

    def problem(self, mean_loss: float) -> str | None:
        """Say that the loss has left where it was, or return None."""
        lowest, self._lowest = self._lowest, min(self._lowest, mean_loss if math.isfinite(mean_loss) else math.inf)
        if lowest == math.inf or not mean_loss >= FACTOR * max(lowest, LOWEST):
            return None
        return (
            f"the mean loss is {mean_loss:.3g}, {mean_loss / lowest:.0f} times the lowest so far: the training "
            "diverges; lower the learning rate, or clip gradients"
        )
