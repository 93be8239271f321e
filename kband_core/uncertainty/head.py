"""The network that says how large the error of each pixel is expected to be."""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn.functional import leaky_relu, pad, pixel_shuffle, pixel_unshuffle

from kband_core.uncertainty.evidence import CHANNELS
from kband_core.uncertainty.laplace import positive

LEAST = 1e-4  # of the image's brightness
TYPICAL = 0.02  # what an untrained one says


class Head(nn.Module):
    """Evidence `(b, 14, y, x)` → σ `(b, y, x)`, the expected |error| in units of the image's brightness; any size.

    On half the resolution, like the small denoiser: two residual blocks, the first convolution of each with gaps, so
    that it sees 23 pixels across at little cost.
    """

    def __init__(self, channels: int = 28) -> None:
        super().__init__()
        self.channels = channels
        self.first = nn.Conv2d(4 * CHANNELS, channels, 3, padding=1)
        self.blocks = nn.ModuleList(_Block(channels) for _ in range(2))
        self.last = nn.Conv2d(channels, 4, 3, padding=1)
        nn.init.zeros_(self.last.weight)
        nn.init.constant_(self.last.bias, math.log(math.expm1(TYPICAL)))

    def forward(self, evidence: Tensor) -> Tensor:
        """Say σ of each pixel."""
        height, width = evidence.shape[-2:]
        features = self.first(pixel_unshuffle(pad(evidence, (0, width % 2, 0, height % 2), mode="replicate"), 2))
        for block in self.blocks:
            features = block(features)
        return positive(pixel_shuffle(self.last(features), 2)[..., 0, :height, :width], LEAST)


class _Block(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.wide = nn.Conv2d(channels, channels, 3, padding=2, dilation=2)
        self.narrow = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.narrow(leaky_relu(self.wide(leaky_relu(x, 0.1)), 0.1))
