"""The noise of complex images, told from the images alone."""

from __future__ import annotations

import torch
from torch import Tensor

MAD = 0.6745  # median of the modulus of a normal variable of SD 1


def noise_sd(echoes: Tensor) -> float:
    """SD of the noise of real and imaginary parts, from differences that a smooth image has none of.

    Pixels of exactly zero, where coil maps have cut the image, have no noise either, and tell nothing.
    """
    corners = echoes[..., 1:, 1:], echoes[..., 1:, :-1], echoes[..., :-1, 1:], echoes[..., :-1, :-1]
    is_made = torch.stack(corners).all(0)
    over = ((corners[0] - corners[1] - corners[2] + corners[3]) / 2)[is_made]
    median = float(torch.view_as_real(over).abs().median()) if len(over) else 0.0
    return max(median / MAD, 1e-6 * float(echoes.abs().max()), 1e-30)
