"""How bright an image is: the percentile that scanners scale by, and what then lies beyond twelve bits."""

from __future__ import annotations

import torch
from torch import Tensor

from kband_core.threads import single_thread

BINS = 100
RANGE = 4095 / 2048  # times the 99th percentile: the brightest that twelve bits show, where that is scaled to 2048


def percentile_99(pixels: Tensor, n_bins: int = BINS) -> float:
    """Return the 99th percentile of `pixels` of any shape, at least one above 0, as Gadgetron's AutoScaleGadget does.

    It is read off a histogram of `n_bins` from 0 to the brightest pixel: the limit lies one bin above the upper edge of
    the percentile's own.
    """
    with single_thread():
        brightest = float(pixels.max())
        bins = torch.floor(pixels.flatten() / brightest * n_bins).long()
        below = torch.bincount(bins.clamp(0, n_bins - 1), minlength=n_bins).cumsum(0)
        bin_of_99 = int(torch.searchsorted(below.double(), 0.99 * pixels.numel()))
        return (bin_of_99 + 2) * brightest / n_bins


def n_beyond_range(pixels: Tensor) -> int:
    """Count the pixels of a magnitude image that are brighter than twelve bits show, and will be clipped."""
    with single_thread():
        if float(pixels.max()) <= 0:
            return 0
        return int((pixels > RANGE * percentile_99(pixels)).sum())
