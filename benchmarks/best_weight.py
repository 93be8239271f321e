"""The best weight of a regularised reconstruction, as if somebody knew the answer: what a peer can do at most."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor

FIRST, LAST = 0.6, 0.3  # decades from one weight to the next
LOWEST, HIGHEST = 1e-6, 10.0


def best_image(
    make: Callable[[float], Tensor], error: Callable[[Tensor], float], start: float, *, first: float = FIRST
) -> tuple[Tensor, float]:
    """Return the image of the weight with the least error, and that weight, to a factor of 2.

    From `start` it goes to the better neighbour, `first` decades away, until both are worse; then 0.3 decades. So a
    second minimum farther away would be missed.
    """
    tried: dict[float, tuple[float, Tensor]] = {}

    def found(decade: float) -> float:
        decade = round(min(max(decade, math.log10(LOWEST)), math.log10(HIGHEST)), 6)
        if decade not in tried:
            image = make(10**decade)
            tried[decade] = error(image), image
        return decade

    here, step = found(math.log10(start)), first
    while step > LAST - 1e-6:
        best = min((here, found(here - step), found(here + step)), key=lambda decade: tried[decade][0])
        if best == here:
            step /= 2
        here = best
    return tried[here][1], 10**here
