"""Fourier transform between an image and samples along a trajectory, by finufft; centred and orthonormal on a grid."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import torch
from torch import Tensor

TOLERANCE = 1e-6  # of finufft, relative to the largest sample
FINER = 1e-9  # for point-spread functions, which are computed once
PERIOD = 2 * np.pi


def require_finufft() -> ModuleType:
    """Return finufft. Raises `ValueError`, saying what to install, if it is missing."""
    try:
        import finufft
    except ImportError as error:
        raise ValueError("finufft is missing, and trajectories need it: pip install kband[noncart]") from error
    return finufft


def nufft(image: Tensor, coords: Tensor) -> Tensor:
    """What is measured of images `(..., y, x)` at `coords` `(shot, sample, 2)`: complex64 `(..., shot, sample)`.

    Σ_r image(r) e^{−2πi k·r} / √(NyNx), r from the pixel N//2 on, k = (ky, kx) in cycles per pixel: on a grid, what
    `fourier.to_kspace` does. It computes on the CPU, and autograd does not see through it. Raises `ValueError` without
    finufft.
    """
    shape = image.shape[-2:]
    planes = _planes(image, shape)
    samples = require_finufft().nufft2d2(*_points(coords), planes, isign=-1, eps=TOLERANCE, nthreads=_threads())
    return _tensor(samples, image.shape[:-2], coords.shape[:-1], image.device) / (shape[0] * shape[1]) ** 0.5


def adjoint_nufft(samples: Tensor, coords: Tensor, shape: tuple[int, int]) -> Tensor:
    """The adjoint of `nufft`: samples `(..., shot, sample)` to images `(..., y, x)` of `shape`.

    Σ_k samples(k) e^{+2πi k·r} / √(NyNx); with samples weighted by their density, and times NyNx, an image.
    """
    lines = _planes(samples, (coords.shape[:-1].numel(),))
    image = require_finufft().nufft2d1(*_points(coords), lines, shape, isign=1, eps=TOLERANCE, nthreads=_threads())
    return _tensor(image, samples.shape[:-2], shape, samples.device) / (shape[0] * shape[1]) ** 0.5


def normal_spectrum(coords: Tensor, shape: tuple[int, int]) -> Tensor:
    """Transfer function K of nufftᴴ·nufft, which is a convolution: float32 `(2Ny, 2Nx)`, not centred.

    With images padded by zeros at their ends, nufftᴴ·nufft = crop·FFT⁻¹·K·FFT·pad, exactly (Toeplitz; Fessler 2005).
    K is real since the point-spread function is Hermitian; its lags −Ny and −Nx, which no two pixels have, are zero.
    """
    finufft, points = require_finufft(), [axis.astype(np.float64) for axis in _points(coords)]
    twice = (2 * shape[0], 2 * shape[1])
    ones = np.ones(points[0].shape, np.complex128)
    spread = finufft.nufft2d1(*points, ones, twice, isign=1, eps=FINER, modeord=1, nthreads=_threads())
    spread[shape[0]] = 0
    spread[:, shape[1]] = 0
    spectrum = torch.fft.fft2(torch.from_numpy(spread)).real / (shape[0] * shape[1])
    return spectrum.to(torch.float32).to(coords.device)


def normal_nufft(image: Tensor, spectrum: Tensor) -> Tensor:
    """nufftᴴ·nufft of images `(..., y, x)` by its transfer function: no finufft, any device, any derivative."""
    ny, nx = image.shape[-2:]
    padded = torch.fft.fft2(image, s=spectrum.shape)
    return torch.fft.ifft2(padded * spectrum)[..., :ny, :nx]


def _points(coords: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Phases per pixel along y and x, in radians."""
    y, x = (PERIOD * coords.detach().cpu()).flatten(0, -2).T.contiguous().numpy()
    return y, x


def _planes(array: Tensor, last: tuple[int, ...]) -> np.ndarray:
    return array.detach().to("cpu", torch.complex64).resolve_conj().reshape(-1, *last).contiguous().numpy()


def _tensor(array: np.ndarray, batch: tuple[int, ...], last: tuple[int, ...], device: torch.device) -> Tensor:
    return torch.from_numpy(array).reshape(*batch, *last).to(device)


def _threads() -> int:
    return torch.get_num_threads()
