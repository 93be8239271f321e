"""Image-to-image networks on complex images: the paper's residual network, and one on two scales for small machines.

Inside this file a complex image `(b, y, x)` is two channels; everywhere else it is complex.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, pixel_shuffle, pixel_unshuffle

from kband_core.scaling import relative_level


def to_channels(image: Tensor) -> Tensor:
    """Complex `(b, y, x)` to real `(b, 2, y, x)`."""
    return torch.view_as_real(image).movedim(-1, -3).contiguous()


def to_complex(channels: Tensor) -> Tensor:
    """Real `(b, 2, y, x)` to complex64 `(b, y, x)`."""
    return torch.view_as_complex(channels.float().movedim(-3, -1).contiguous())


def _channels_last(features: Tensor) -> Tensor:
    """The memory order in which convolutions are fastest, above all in bfloat16; they keep it."""
    return features.contiguous(memory_format=torch.channels_last)


class ResNet(nn.Module):
    """The denoiser of the k-band paper: `blocks` of two convolutions, without bias or normalisation; any size.

    Pre-activation ReLU–conv–ReLU–conv with a skip (1 × 1 where channels change), reflected borders, no ReLU between
    the two convolutions of the last block, and a residual around it all. Images smaller than the kernel's half are
    refused by the padding. `noise` is not used: the paper's network does not know it.

    Wang et al., K-band, arXiv 2308.02958; as in its published code.
    """

    def __init__(self, blocks: int = 6, channels: int = 64, kernel: int = 7) -> None:
        super().__init__()
        if blocks < 2:
            raise ValueError(f"resnet: {blocks} blocks, at least 2 needed")
        if kernel % 2 == 0:
            raise ValueError(f"resnet: kernel of {kernel} pixels, an odd number needed")
        widths = [2, *[channels] * (blocks - 1), 2]
        self.blocks = nn.ModuleList(
            _Block(n_in, max(n_in, n_out), n_out, kernel, activated=n < blocks - 1)
            for n, (n_in, n_out) in enumerate(pairwise(widths))
        )

    def forward(self, image: Tensor, noise: Tensor, memory: None = None) -> tuple[Tensor, None]:
        """Denoise complex `(b, y, x)`. It remembers nothing."""
        channels = to_channels(image)
        features = _channels_last(channels)
        for block in self.blocks:
            features = block(features)
        return to_complex(channels + features), None


class _Block(nn.Module):
    def __init__(self, n_in: int, n_between: int, n_out: int, kernel: int, *, activated: bool) -> None:
        super().__init__()
        self.width, self.activated = kernel // 2, activated
        self.first = nn.Conv2d(n_in, n_between, kernel, bias=False)
        self.second = nn.Conv2d(n_between, n_out, kernel, bias=False)
        self.skip = nn.Identity() if n_in == n_out else nn.Conv2d(n_in, n_out, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        # ReLU after the padding, in place: what the convolution keeps for its backward pass then serves both
        between = self.first(_Reflect.apply(x, self.width).relu_())
        between = _Reflect.apply(between, self.width)
        return self.skip(x) + self.second(between.relu_() if self.activated else between)


class _Reflect(torch.autograd.Function):
    """Reflected borders. Torch's own keep their whole input, of which the backward pass needs nothing."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, width: int) -> Tensor:
        ctx.width = width
        if x.is_cuda:
            return _reflected(x, width)
        with torch.autocast(x.device.type, enabled=False):  # which would pad in float32 on a CPU
            return pad(x, (width,) * 4, mode="reflect")

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        width = ctx.width
        for dim in (-2, -1):
            length = gradient.shape[dim] - 2 * width
            before, inner, after = gradient.split((width, length, width), dim)
            gradient = inner.clone(memory_format=torch.channels_last)
            gradient.narrow(dim, 1, width).add_(before.flip(dim))
            gradient.narrow(dim, length - 1 - width, width).add_(after.flip(dim))
        return gradient, None


def _reflected(x: Tensor, width: int) -> Tensor:
    """Torch's reflected borders. On a GPU its own give up the order of memory that convolutions want."""
    height, length = (n + 2 * width for n in x.shape[-2:])
    if width >= min(x.shape[-2:]):
        return pad(x, (width,) * 4, mode="reflect")  # which says what is wrong
    out = torch.empty(
        *x.shape[:-2], height, length, dtype=x.dtype, device=x.device, memory_format=torch.channels_last
    )
    out[..., width:-width, width:-width] = x
    for dim in (-2, -1):
        n = out.shape[dim]
        out.narrow(dim, 0, width).copy_(out.narrow(dim, width + 1, width).flip(dim))
        out.narrow(dim, n - width, width).copy_(out.narrow(dim, n - 2 * width - 1, width).flip(dim))
    return out


class Multiscale(nn.Module):
    """A small denoiser on half and quarter resolution, 3 × 3, which is told the noise level; any size.

    Four neighbouring pixels become channels (as in FFDNet, Zhang 2018), so that a convolution costs a quarter;
    `blocks` residual blocks before, at and after the lower scale of `wide` channels. The last convolution starts from
    zero: an untrained network changes nothing. With `remembers` it takes the features that another one ended with,
    which are more than the image between them can carry.
    """

    def __init__(self, channels: int = 48, wide: int = 80, blocks: int = 2, *, remembers: bool = False) -> None:
        super().__init__()
        self.recall = nn.Conv2d(channels, channels, 1) if remembers else None
        self.head = nn.Conv2d(3 * 4, channels, 3, padding=1)
        self.before = nn.Sequential(*[_Residual(channels) for _ in range(blocks)])
        self.down = nn.Conv2d(channels, wide, 2, stride=2)
        self.at = nn.Sequential(*[_Residual(wide) for _ in range(blocks)])
        self.up = nn.ConvTranspose2d(wide, channels, 2, stride=2)
        self.after = nn.Sequential(*[_Residual(channels) for _ in range(blocks)])
        self.tail = nn.Conv2d(channels, 2 * 4, 3, padding=1)
        nn.init.zeros_(self.tail.weight)
        nn.init.zeros_(self.tail.bias)

    def forward(self, image: Tensor, noise: Tensor, memory: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Denoise complex `(b, y, x)` of noise level `noise` `(b,)`; return it, and features `(b, channel, y, x)`."""
        channels = to_channels(image)
        height, width = channels.shape[-2:]
        level = relative_level(noise)[:, None, None, None].expand(-1, 1, height, width)
        missing = (0, -width % 4, 0, -height % 4)
        features = _channels_last(pixel_unshuffle(pad(torch.cat([channels, level], 1), missing, mode="replicate"), 2))
        features = self.head(features)
        if self.recall is not None:
            features = features + self.recall(memory)
        skip = self.before(features)
        features = self.after(skip + self.up(self.at(self.down(skip))))
        change = pixel_shuffle(self.tail(features).float(), 2)[..., :height, :width]
        return to_complex(channels + change), features


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x).relu_()).add_(x)
