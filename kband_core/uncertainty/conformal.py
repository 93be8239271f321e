"""A bound that held-out examples give and that holds as often as it says, whatever the law of the errors."""

from __future__ import annotations

import math

from torch import Tensor


def conformal_quantile(scores: Tensor, level: float) -> float:
    """Return the ⌈(n + 1)·level⌉-th smallest of the `scores` `(n,)` of n held-out examples.

    The score of one more example is at most that with a probability of `level` or more, and of less than `level` +
    1/(n + 1) where no two scores are equal, if it is exchangeable with them: drawn alike, and none of them trained on.
    Raises `ValueError` if n is too small for the level: no score could be promised.

    Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World, 2005; Lei et al., JASA 113:1094 (2018).
    """
    if not 0 < level < 1:
        raise ValueError(f"conformal_quantile: level {level:g}, above 0 and below 1 expected")
    n = scores.numel()
    rank = _ceil((n + 1) * level)
    if rank > n:
        least = _ceil(level / (1 - level))
        raise ValueError(f"conformal_quantile: {n} scores are too few for a level of {level:g}; {least} needed")
    return float(scores.flatten().sort().values[rank - 1])


def _ceil(number: float) -> int:
    return math.ceil(round(number, 9))  # 0.9 / 0.1 is 9, not a little more
