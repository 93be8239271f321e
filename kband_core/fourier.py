"""Centred orthonormal Fourier transform along named axes, and the resizing that belongs to it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

FAST = 2 * 3 * 5 * 7  # the product of all prime factors that transforms are quick with


def to_image(kspace: Tensor, dims: Sequence[int] = (-2, -1)) -> Tensor:
    """Transform k-space to image space: centred, orthonormal, kernel e^{+ik·r}; the origin is at N//2, for any N."""
    return _centred(torch.fft.ifftn, kspace, dims)


def to_kspace(image: Tensor, dims: Sequence[int] = (-2, -1)) -> Tensor:
    """Transform an image to k-space: the inverse, and the adjoint, of `to_image`."""
    return _centred(torch.fft.fftn, image, dims)


def resize(array: Tensor, shape: Sequence[int], dims: Sequence[int] = (-2, -1)) -> Tensor:
    """Crop or zero-pad `array` to `shape` along `dims`, keeping the origin at N//2.

    In image space this changes the field of view, in k-space the resolution.
    """
    pads = [0] * (2 * array.ndim)
    for dim, length in zip(dims, shape, strict=True):
        before = length // 2 - array.shape[dim] // 2
        after = length - array.shape[dim] - before
        from_the_end = array.ndim - 1 - dim % array.ndim
        pads[2 * from_the_end : 2 * from_the_end + 2] = [before, after]
    return torch.nn.functional.pad(array, pads)


def interpolate(image: Tensor, shape: Sequence[int], dims: Sequence[int] = (-2, -1)) -> Tensor:
    """Resample an image to `shape` over the same field of view by zero-padding or cropping its k-space.

    Pixel values keep their size: a constant image stays the same constant.
    """
    old = [image.shape[dim] for dim in dims]
    gain = torch.tensor(list(shape)).prod().item() / torch.tensor(old).prod().item()
    return to_image(resize(to_kspace(image, dims), shape, dims), dims) * gain**0.5


def fast_lengths(low: int, high: int) -> list[int]:
    """Return the lengths from `low` to `high` without other prime factors than 2, 3, 5 and 7: others transform slower.

    A prime of 96 to 160 takes 2 to 5 times as long as its neighbours (torch on a CPU).
    """
    return [n for n in range(low, high + 1) if FAST**16 % n == 0]


def uncentred(k: Tensor, length: int, dtype: torch.dtype) -> Tensor:
    """Factors that make centred samples, `k` from the centre of k-space, those of a transform whose origin is at y = 0.

    torch's own inverse transform of the products is then what `to_image` makes of the samples.
    """
    turns = (k * (length // 2) % length).double() / length
    return torch.exp(-2j * torch.pi * turns).to(dtype)


def _centred(transform, array: Tensor, dims: Sequence[int]) -> Tensor:
    dims = tuple(dims)
    return torch.fft.fftshift(transform(torch.fft.ifftshift(array, dims), dim=dims, norm="ortho"), dims)


def partitions_to_image(kspace: Tensor) -> Tensor:
    """Transform `(..., coil, kz, ky, kx)` to image space along z: `(..., z, coil, ky, kx)`."""
    if kspace.shape[-3] > 1:
        kspace = to_image(kspace, dims=(-3,))
    return kspace.movedim(-3, -4)
