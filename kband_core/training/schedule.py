"""Learning rates as pure functions of the step, so that a resumed training needs no memory of them."""

from __future__ import annotations

import math
from collections.abc import Sequence

WARM_UP = 0.05
LAST = 0.01


def one_cycle(step: int, n_steps: int) -> float:
    """Rise linearly over the first 5 % of the steps to 1, then fall along half a cosine to 0.01."""
    rise = max(round(WARM_UP * n_steps), 1)
    if step < rise:
        return (step + 1) / rise
    done = (step + 1 - rise) / max(n_steps - rise, 1)
    return LAST + (1 - LAST) * (1 + math.cos(math.pi * min(done, 1.0))) / 2


def staircase(step: int, n_steps: int, drops: Sequence[float]) -> float:
    """Multiply by 0.1 at each of `drops`, fractions of the steps."""
    return 0.1 ** sum(step >= drop * n_steps for drop in drops)
