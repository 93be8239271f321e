"""Random fields that tissue is made of: smooth, folded, or with detail at every scale; their borders and blur."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def smooth_field(shape: tuple[int, int], length: float, rng: torch.Generator, *, band: bool = False) -> Tensor:
    """Draw a Gaussian random field of SD 1 that varies over `length` pixels; real `(y, x)`.

    `band`: only details of about that length, which fold like a cortex.
    """
    y, x = (torch.fft.fftfreq(n) * length for n in shape)
    square = y[:, None].square() + x.square()
    return _field(square * torch.exp(-4 * square) if band else torch.exp(-4 * square), rng)


def rough_field(shape: tuple[int, int], exponent: float, rng: torch.Generator) -> Tensor:
    """Draw a Gaussian random field of SD 1 with detail at every scale; real `(y, x)`.

    Amplitudes fall with frequency to the power of minus `exponent`: 1 is rough, 3 like clouds. It may be stretched
    along a direction up to four times, as fibres of muscle are.
    """
    stretch, turn = math.exp(between(0, 1.4, rng)), between(0, math.pi, rng)
    y, x = (torch.fft.fftfreq(n) for n in shape)
    along = math.cos(turn) * y[:, None] + math.sin(turn) * x
    across = math.cos(turn) * x - math.sin(turn) * y[:, None]
    square = (along * stretch).square() + across.square()
    longest = 1 / (0.3 * max(shape)) ** 2  # nothing varies more slowly than over a third of the field of view
    return _field((square + longest) ** (-exponent / 2), rng)


def above(field: Tensor, level: float, width: float) -> Tensor:
    """Return where `field` is above `level`, from 0 to 1; `width` is how far it rises at the border.

    A thick slice holds two tissues where their border runs obliquely through it.
    """
    return torch.sigmoid((field - level) / width)


def border_width(rng: torch.Generator) -> float:
    """Draw the width of a border, in units of the field: sharp to the pixel, or washed out."""
    return 0.02 * 30 ** between(0, 1, rng)


def blurred(image: Tensor, width: float) -> Tensor:
    """Convolve `(y, x)` with a Gaussian of SD `width` pixels, across the edges; nothing becomes negative."""
    y, x = (torch.exp(-2 * (math.pi * width * torch.fft.fftfreq(n)) ** 2) for n in image.shape)
    return torch.fft.ifft2(torch.fft.fft2(image) * y[:, None] * x).real.clamp(min=0)


def between(low: float, high: float, rng: torch.Generator) -> float:
    """Draw a number, uniformly."""
    return low + (high - low) * float(torch.rand((), generator=rng))


def _field(envelope: Tensor, rng: torch.Generator) -> Tensor:
    white = torch.randn(envelope.shape, dtype=torch.complex64, generator=rng)
    field = torch.fft.ifft2(envelope * white).real
    return (field - field.mean()) / field.std().clamp(min=1e-12)
