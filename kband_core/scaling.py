"""The one rule by which k-space is scaled, and its noise level told, before a network sees it: trained and at work."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from kband_core.axes import check_axes
from kband_core.coils import root_sum_of_squares
from kband_core.fourier import resize, to_image

DISC = 24  # samples across the central disc, which calibration lines and every band contain
PERCENTILE = 0.95
EDGE = 0.1  # of the readout at either end, where of all that is measured the signal is least


def plane_scale(kspace: Tensor) -> Tensor:
    """Return the 95th percentile of the low-resolution image: divide k-space `(..., coil, ky, kx)` by it; `(...)`.

    The image is the root sum of squares of the central disc of 24 samples, which is in the ACS lines of a scan and
    in every band, so that training and scanner agree. Samples that were not acquired must be zero. Raises
    `ValueError` if the disc holds no signal.

    Wang et al., K-band, arXiv 2308.02958, take the same percentile of fully sampled images.
    """
    n = check_axes(kspace=(kspace, "... coil ky kx"))
    across = [min(DISC, n["ky"]), min(DISC, n["kx"])]
    y, x = (torch.arange(length, device=kspace.device) - length // 2 for length in across)
    disc = y[:, None].square() + x.square() <= (DISC / 2) ** 2
    grid = [2 * length for length in across]
    low = to_image(resize(resize(kspace, across) * disc, grid)) * math.sqrt(math.prod(grid) / (n["ky"] * n["kx"]))
    scale = torch.quantile(root_sum_of_squares(low).flatten(-2), PERCENTILE, dim=-1)
    if not (scale > 0).all():
        raise ValueError("scale: the centre of k-space holds no signal, or NaN")
    return scale


def noise_level(kspace: Tensor, mask: Tensor) -> Tensor:
    """Estimate the SD of the complex noise of a sample of one coil from k-space `(..., coil, ky, kx)`; `(...)`.

    The median of |k|² at both ends of the readout, in the outer half of the lines that were acquired, is σ² ln 2 for
    noise alone. Signal that reaches there counts as noise: the estimate errs upwards in scans of low resolution, and
    in bands; of one that does not reach the ends of the readout the rim is taken. `mask` `(..., ky, kx)` or
    `(..., ky, 1)`.
    """
    n = check_axes(kspace=(kspace, "... coil ky kx"))
    acquired = mask.expand(*mask.shape[:-1], n["kx"]).unsqueeze(-3)
    edge, quarter = max(round(EDGE * n["kx"]), 1), n["ky"] // 4
    outer = torch.ones(n["ky"], 1, dtype=torch.bool, device=kspace.device)
    outer[quarter : n["ky"] - quarter] = False
    ends = [slice(edge), slice(-edge, None)]
    power = torch.cat([kspace[..., end] for end in ends], -1).abs().square()
    at_ends = torch.cat([acquired[..., end] for end in ends], -1)
    chosen = torch.where((at_ends & outer).any((-2, -1), keepdim=True), at_ends & outer, at_ends)
    if not chosen.flatten(-2).any(-1).all():  # a band across the readout: then its rim
        power, y, x = kspace.abs().square(), *(torch.linspace(-1, 1, n[axis]) for axis in ("ky", "kx"))
        radius = torch.hypot(y[:, None], x).to(kspace.device) * acquired
        chosen = acquired & (radius >= (1 - EDGE) * radius.amax((-2, -1), keepdim=True))
    median = torch.where(chosen, power, torch.nan).flatten(-3).nanmedian(-1).values
    return torch.nan_to_num(median / math.log(2)).sqrt()
