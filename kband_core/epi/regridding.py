"""From samples anywhere along kx to the pixels of a field of view."""

from __future__ import annotations

import torch
from torch import Tensor


def regridding_operator(positions: Tensor, n_pixels: int, fov: float) -> Tensor:
    """Return the matrix that turns the samples of a readout into `n_pixels` pixels over `fov`.

    Pixel m is Σ e^{2πi x_m k_n} Δk_n d_n, each sample weighed by the part Δk of kx that it stands for; `positions` (k)
    in cycles per unit of `fov`. The scale leaves white noise of the samples its standard deviation, as an orthonormal
    transform does. It cannot blow up as an inverse of the sampling matrix can, whose samples lie further apart than
    the field of view allows. Returns complex64 `(n_pixels, sample)`; pixel N//2 lies at 0.
    """
    x = (torch.arange(n_pixels, dtype=torch.float64) - n_pixels // 2) * (fov / n_pixels)
    width = torch.gradient(positions)[0].abs()
    angle = 2 * torch.pi * torch.outer(x, positions)
    return torch.polar((width / width.norm()).expand_as(angle), angle).to(torch.complex64)
