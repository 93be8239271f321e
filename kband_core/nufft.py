"""Fourier transform between an image and samples along a trajectory; centred and orthonormal on a grid.

Autograd sees through it, as often as is asked: to image or samples, and to the trajectory. Complex64 is transformed in
single precision, complex128 in double.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kband_core.device import send
from kband_core.nufft_engines import require_finufft, to_planes, to_samples

TOLERANCE = {torch.complex64: 1e-6, torch.complex128: 1e-12}  # relative to the largest sample
FINER = 1e-9  # for point-spread functions, which are computed once
KEPT = 16  # of them: angles of a few turns
PERIOD = 2 * np.pi


def nufft(image: Tensor, coords: Tensor) -> Tensor:
    """What is measured of images `(..., y, x)` at `coords` `(shot, sample, 2)`: complex `(..., shot, sample)`.

    Σ_r image(r) e^{−2πi k·r} / √(NyNx), r from the pixel N//2 on, k = (ky, kx) in cycles per pixel: on a grid, what
    `fourier.to_kspace` does. Raises `ValueError` without finufft.
    """
    return _Nufft.apply(_complex(image), coords)


def adjoint_nufft(samples: Tensor, coords: Tensor, shape: tuple[int, int]) -> Tensor:
    """The adjoint of `nufft`: samples `(..., shot, sample)` to images `(..., y, x)` of `shape`.

    Σ_k samples(k) e^{+2πi k·r} / √(NyNx); with samples weighted by their density, and times NyNx, an image.
    """
    return _AdjointNufft.apply(_complex(samples), coords, shape)


def normal_spectrum(coords: Tensor, shape: tuple[int, int], weight: Tensor | None = None) -> Tensor:
    """Transfer function K of nufftᴴ·W·nufft, which is a convolution: complex64 `(2Ny, 2Nx)`, not centred.

    With images padded by zeros at their ends, nufftᴴ·W·nufft = crop·FFT⁻¹·K·FFT·pad, exactly (Toeplitz; Fessler 2005),
    W being `weight` `(shot, sample)`, or 1. K has no imaginary part since the point-spread function is Hermitian; its
    lags −Ny and −Nx, which no two pixels have, are zero. The latest ones are kept, for scans that come back to the same
    angles. No derivative for the trajectory passes through it.
    """
    y, x = _points(coords.cpu(), torch.float32).double().numpy()
    weights = np.ones(y.shape) if weight is None else weight.detach().cpu().double().flatten().numpy()
    return send(_spectrum(y.tobytes(), x.tobytes(), weights.tobytes(), tuple(shape)), coords.device)


@lru_cache(maxsize=KEPT)
def _spectrum(y: bytes, x: bytes, weights: bytes, shape: tuple[int, int]) -> Tensor:
    points, strengths = (np.frombuffer(y), np.frombuffer(x)), np.frombuffer(weights).astype(np.complex128)
    twice = (2 * shape[0], 2 * shape[1])
    spread = require_finufft().nufft2d1(*points, strengths, twice, isign=1, eps=FINER, modeord=1, nthreads=1)
    spread[shape[0]] = 0
    spread[:, shape[1]] = 0
    return (torch.fft.fft2(torch.from_numpy(spread)).real / (shape[0] * shape[1])).to(torch.complex64)


def normal_nufft(image: Tensor, spectrum: Tensor) -> Tensor:
    """nufftᴴ·nufft of images `(..., y, x)` by its transfer function: no finufft, any device, any derivative."""
    ny, nx = image.shape[-2:]
    padded = torch.fft.fft2(image, s=spectrum.shape[-2:])
    padded *= spectrum
    return torch.fft.ifft2(padded)[..., :ny, :nx]


class _Nufft(torch.autograd.Function):
    """F of images and coordinates. What flows back to images is Fᴴ."""

    @staticmethod
    def forward(ctx: Any, image: Tensor, coords: Tensor) -> Tensor:
        ctx.save_for_backward(image, coords)
        shape, eps = image.shape[-2:], TOLERANCE[image.dtype]
        samples = to_samples(_planes(image, shape), _points(coords, image.dtype.to_real()), eps)
        return samples.reshape(*image.shape[:-2], *coords.shape[:-1]) / shape.numel() ** 0.5

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        image, coords = ctx.saved_tensors
        of_image, of_coords = ctx.needs_input_grad
        return (
            adjoint_nufft(gradient, coords, tuple(image.shape[-2:])) if of_image else None,
            _gradient_of_coords(gradient, image, coords) if of_coords else None,
        )


class _AdjointNufft(torch.autograd.Function):
    """Fᴴ of samples and coordinates. What flows back to samples is F."""

    @staticmethod
    def forward(ctx: Any, samples: Tensor, coords: Tensor, shape: tuple[int, int]) -> Tensor:
        ctx.save_for_backward(samples, coords)
        lines, points = _planes(samples, (coords.shape[:-1].numel(),)), _points(coords, samples.dtype.to_real())
        image = to_planes(lines, points, shape, TOLERANCE[samples.dtype])
        return image.reshape(*samples.shape[:-2], *shape) / (shape[0] * shape[1]) ** 0.5

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        samples, coords = ctx.saved_tensors
        of_samples, of_coords, _ = ctx.needs_input_grad
        return (
            nufft(gradient, coords) if of_samples else None,
            _gradient_of_coords(samples, gradient, coords) if of_coords else None,
            None,
        )


def _gradient_of_coords(samples: Tensor, image: Tensor, coords: Tensor) -> Tensor:
    """Gradient of Re⟨samples, F image⟩ for the coordinates, the sum over all planes: ∂F/∂k_d = −2πi·F·r_d.

    The derivative of the transform, not of the interpolator that finufft makes it by (Wang and Fessler 2023, BJORK).
    """
    real = image.dtype.to_real()
    y, x = (torch.arange(n, dtype=real, device=image.device) - n // 2 for n in image.shape[-2:])
    along = nufft(torch.stack((y[:, None] * image, x * image)), coords)
    product = (samples.conj() * along).imag
    return PERIOD * product.reshape(2, -1, *coords.shape[:-1]).sum(1).movedim(0, -1).to(coords)


def _points(coords: Tensor, dtype: torch.dtype) -> Tensor:
    """Phases per pixel along y and x, in radians: `(2, sample)`."""
    return (PERIOD * coords.detach()).to(dtype).flatten(0, -2).T.contiguous()


def _complex(array: Tensor) -> Tensor:
    return array.to(torch.complex128 if array.dtype in (torch.complex128, torch.float64) else torch.complex64)


def _planes(array: Tensor, last: tuple[int, ...]) -> Tensor:
    return array.detach().resolve_conj().resolve_neg().reshape(-1, *last).contiguous()
