"""The noise of complex images, told from the images alone."""

from __future__ import annotations

import torch
from torch import Tensor

MAD = 0.6745  # median of the modulus of a normal variable of SD 1


def noise_sd(echoes: Tensor) -> float:
    """SD of the noise of real and imaginary parts, from differences that a smooth image has none of."""
    over = (echoes[..., 1:, 1:] - echoes[..., 1:, :-1] - echoes[..., :-1, 1:] + echoes[..., :-1, :-1]) / 2
    return max(float(torch.view_as_real(over).abs().median()) / MAD, 1e-6 * float(echoes.abs().max()), 1e-30)
