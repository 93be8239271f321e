"""How far a predicted scale of errors may be trusted: a table of bins, and the correction that it implies."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor


@dataclass(frozen=True)
class Reliability:
    """Mean actual |error| over mean predicted σ, the slope, in each bin of predicted σ; 1 where σ says the truth.

    `edges` divide the bins, in the unit of σ, so that there is one slope more; those at the ends have no outer edge.
    Raises `ValueError` unless edges rise, and slopes are positive.
    """

    edges: tuple[float, ...]
    slopes: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.slopes) != len(self.edges) + 1:
            raise ValueError(f"reliability: {len(self.slopes)} slopes, {len(self.edges) + 1} expected between edges")
        if not all(low < high for low, high in pairwise(self.edges)):
            raise ValueError("reliability: edges of bins do not rise")
        if not all(0 < slope < math.inf for slope in self.slopes):
            raise ValueError(f"reliability: slopes from {min(self.slopes):g} to {max(self.slopes):g}, above 0 expected")

    def calibrated(self, scale: Tensor) -> Tensor:
        """Correct predicted scales of any shape: each times the slope of its bin."""
        edges, slopes = (
            torch.tensor(part, dtype=scale.dtype, device=scale.device) for part in (self.edges, self.slopes)
        )
        return scale * slopes[torch.bucketize(scale.detach(), edges, right=True)]


def reliability(predicted: Tensor, error: Tensor, n_bins: int) -> Reliability:
    """Compare predicted scales with the errors that came, of equal shape, in bins that hold equally many.

    `error` may be complex or signed. Raises `ValueError` for unequal shapes, or where there are too few values, or too
    many equal ones, for `n_bins`.
    """
    if predicted.shape != error.shape:
        raise ValueError(f"reliability: {tuple(predicted.shape)} predicted but {tuple(error.shape)} errors")
    order = predicted.flatten().double().sort()
    actual = error.flatten().abs().double()[order.indices]
    if len(actual) < n_bins:
        raise ValueError(f"reliability: {len(actual)} values are too few for {n_bins} bins")
    starts = [n * len(actual) // n_bins for n in range(1, n_bins)]
    bins = zip(order.values.tensor_split(starts), actual.tensor_split(starts), strict=True)
    slopes = tuple(float(came.mean() / said.mean()) for said, came in bins)
    return Reliability(tuple(order.values[starts].tolist()), slopes)
