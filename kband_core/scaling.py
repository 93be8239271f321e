"""The one rule by which k-space is scaled before a network sees it: trained and at work."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from kband_core.axes import check_axes
from kband_core.coils import root_sum_of_squares
from kband_core.fourier import resize, to_image

DISC = 24  # samples across the central disc, which calibration lines and every band contain
PERCENTILE = 0.95


def plane_scale(kspace: Tensor) -> Tensor:
    """Return the 95th percentile of the low-resolution image: divide k-space `(..., coil, ky, kx)` by it; `(...)`.

    The image is the root sum of squares of the central disc of 24 samples, which is in the ACS lines of a scan and
    in every band, so that training and scanner agree. Samples that were not acquired must be zero. Raises
    `ValueError` if the disc holds no signal.

    Wang et al., K-band, arXiv 2308.02958, take the same percentile of fully sampled images.
    """
    return check_scale(central_brightness(kspace))


def check_scale(scale: Tensor) -> Tensor:
    """Return a `central_brightness`, or a multiple of it, that can be divided by. Raises `ValueError` otherwise."""
    if not (scale > 0).all():
        raise ValueError("scale: the centre of k-space holds no signal, or NaN")
    return scale


def central_brightness(kspace: Tensor) -> Tensor:
    """Return what `plane_scale` does, and 0 or NaN where the disc holds no signal: a GPU is not waited for."""
    n = check_axes(kspace=(kspace, "... coil ky kx"))
    across = [min(DISC, n["ky"]), min(DISC, n["kx"])]
    y, x = (torch.arange(length, device=kspace.device) - length // 2 for length in across)
    disc = y[:, None].square() + x.square() <= (DISC / 2) ** 2
    grid = [2 * length for length in across]
    low = to_image(resize(resize(kspace, across) * disc, grid)) * math.sqrt(math.prod(grid) / (n["ky"] * n["kx"]))
    return torch.quantile(root_sum_of_squares(low).flatten(-2), PERCENTILE, dim=-1)


def relative_level(noise: Tensor) -> Tensor:
    """Return the logarithm of the noise level over a typical one, 0.03 of the brightness of the image."""
    return noise.clamp(min=1e-4).log() - math.log(0.03)
