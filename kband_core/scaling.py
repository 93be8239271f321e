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
DIRECTIONS = 150  # most samples of a window, all coils counted: of them signal takes a few, noise all
QUIETEST = 0.1  # of the directions in the space of windows, where of all that is measured the signal is least


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

    Windows of all coils in the central 24 lines hold signal in a few directions only (as in ESPIRiT, Uecker 2014) and
    noise in all: it is told from the energy in the quietest directions, over that of pure noise of SD 1 in the same
    windows. White noise is assumed. They have up to 150 samples, less where few are acquired; of eight coils, 4 × 4.
    `mask` `(..., ky, kx)` or `(..., ky, 1)`; windows with holes do not count. Raises `ValueError` if nothing was
    acquired in the centre.
    """
    n = check_axes(kspace=(kspace, "... coil ky kx"))
    central = [min(DISC, n["ky"]), n["kx"]]
    lines = resize(kspace, central)
    acquired = resize(mask.expand(*mask.shape[:-1], n["kx"]), central) & (lines != 0).any(-3)
    noise = torch.randn(lines.shape[-3:], dtype=lines.dtype, generator=torch.Generator().manual_seed(0))
    for size in range(max(math.isqrt(DIRECTIONS // n["coil"]), 1), 0, -1):
        whole = _windows(acquired.unsqueeze(-3), size).all(-1)
        fewest = int(whole.sum(-1).min())
        if fewest >= 2 * n["coil"] * size**2:
            break
    if fewest == 0:
        raise ValueError("noise level: the centre of k-space holds no samples")
    noise = noise.to(lines.device).expand_as(lines)
    return (_least_energy(lines, whole, size) / _least_energy(noise, whole, size)).sqrt()


def _least_energy(lines: Tensor, whole: Tensor, size: int) -> Tensor:
    """Return the mean energy of windows `whole` `(..., window)` of `(..., coil, ky, kx)` in the quietest directions."""
    whole = whole.expand(*lines.shape[:-3], -1)
    grams = [  # plane by plane: windows take far more memory than what they are made of
        windows.mT @ windows.conj()
        for plane, counted in zip(lines.reshape(-1, *lines.shape[-3:]), whole.reshape(-1, whole.shape[-1]), strict=True)
        for windows in [_windows(plane, size) * counted.unsqueeze(-1)]
    ]
    energies = torch.linalg.eigvalsh(torch.stack(grams).to(torch.complex128)).clamp(min=0)
    least = energies[..., : max(round(QUIETEST * energies.shape[-1]), 1)].mean(-1).view(lines.shape[:-3])
    return (least / whole.sum(-1)).to(lines.real.dtype)


def _windows(lines: Tensor, size: int) -> Tensor:
    """All windows of `(..., coil, ky, kx)`, overlapping, as rows: `(..., window, coil·size²)`."""
    windows = lines.unfold(-2, size, 1).unfold(-2, size, 1)  # (..., coil, y, x, size, size)
    return windows.movedim(-5, -3).flatten(-3).flatten(-3, -2)
