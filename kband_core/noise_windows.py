"""Windows of the centre of k-space: signal lies in few of their directions (ESPIRiT, Uecker 2014), noise in all alike.

A window holds size × size neighbouring samples of all coils, a vector. Directions are the eigenvectors of all windows'
Gram matrix, their energies its eigenvalues: of noise alone they scatter around the variance as chance has it, which a
draw of noise of SD 1 in the same windows shows.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

from kband_core.device import send

CENTRAL = 24  # lines, which calibration lines and every band contain
# Share of the directions that noise is told from: its SD is the same to 4 % between 0.02 and 0.2; 0.4 hold signal.
QUIETEST = 0.1
# Times the strongest direction of pure noise, above which there is signal: draws of noise differ by 7 %; whitening by
# what lies below is as good at 1.5, and worse at 2, where signal passes for noise.
EDGE = 1.3
PER_DIRECTION = 2  # windows at least: of fewer, the energies of noise scatter down to zero
TOGETHER = 128  # windows summed in single precision: behind a bright one, noise 100 times weaker would be rounded away


def strongest_noise(energies: Tensor, shape: tuple[int, int, int], size: int) -> Tensor:
    """Return the most energy that noise has in any direction, told from the quietest directions; `(..., 1)`.

    `energies` `(..., direction)`, rising, are those of all windows of size × size samples of lines of `shape` `(coil,
    ky, kx)`.
    """
    _, n_lines, n_samples = shape
    whole = torch.ones((n_lines - size + 1) * (n_samples - size + 1), dtype=torch.bool)
    pure = send(noise_energies(shape, whole, size, torch.complex64).to(energies.dtype), energies.device)
    return EDGE * (quietest(energies) / quietest(pure)).unsqueeze(-1) * pure[-1]


def strongest_of_noise(shape: tuple[int, int, int], size: int) -> float:
    """Return the most energy, summed over all windows, that noise of SD 1 has in any direction."""
    _, n_lines, n_samples = shape
    n_windows = (n_lines - size + 1) * (n_samples - size + 1)
    pure = noise_energies(shape, torch.ones(n_windows, dtype=torch.bool), size, torch.complex64)
    return EDGE * float(pure[-1]) * n_windows


def choose_windows(acquired: Tensor, n_coils: int, most: int) -> tuple[int, Tensor]:
    """Return how many samples wide windows are, and which of them have no holes: bool `(..., window)`.

    As wide as `most` directions allow and as leaves windows enough. acquired `(..., ky, kx)`, the same for all coils.
    """
    widest = min(max(math.isqrt(most // n_coils), 1), *acquired.shape[-2:])
    for size in range(widest, 0, -1):
        whole = _windows(acquired.unsqueeze(-3), size).all(-1)
        if int(whole.sum(-1).min()) >= PER_DIRECTION * n_coils * size**2:
            break
    return size, whole


def window_energies(lines: Tensor, whole: Tensor, size: int) -> Tensor:
    """Return the mean energies of windows `whole` `(..., window)` of `(..., coil, ky, kx)` by direction, rising."""
    energies = torch.linalg.eigvalsh(window_grams(lines, whole, size)).clamp(min=0)
    return energies.view(*lines.shape[:-3], -1) / send(whole.sum(-1, keepdim=True), lines.device)


def noise_energies(shape: tuple[int, int, int], whole: Tensor, size: int, dtype: torch.dtype) -> Tensor:
    """Return the energies, as `window_energies` does, of lines `(coil, ky, kx)` of nothing but noise of SD 1."""
    return _noise_energies(shape, whole.cpu().numpy().tobytes(), size, dtype)


@lru_cache(maxsize=32)
def _noise_energies(shape: tuple[int, int, int], whole: bytes, size: int, dtype: torch.dtype) -> Tensor:
    noise = torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(0))
    return window_energies(noise, torch.frombuffer(bytearray(whole), dtype=torch.bool), size)


def quietest(energies: Tensor) -> Tensor:
    """Return the mean energy of the quietest directions of `(..., direction)`, rising; `(...)`."""
    return energies[..., : max(round(QUIETEST * energies.shape[-1]), 1)].mean(-1)


def window_grams(lines: Tensor, whole: Tensor, size: int) -> Tensor:
    """Return Σ w wᴴ over the windows `whole` of each plane of `(..., coil, ky, kx)`: complex128, `(plane, n, n)`."""
    planes = lines.reshape(-1, *lines.shape[-3:])
    if whole.all():
        return window_gram(planes, size, torch.complex128)
    whole = send(whole, lines.device).expand(*lines.shape[:-3], -1)
    grams = [  # plane by plane: windows take far more memory than what they are made of
        sum((part.mT @ part.conj()).to(torch.complex128) for part in windows.split(TOGETHER))
        for plane, counted in zip(planes, whole.reshape(-1, whole.shape[-1]), strict=True)
        for windows in [_windows(plane, size) * counted.unsqueeze(-1)]
    ]
    return torch.stack(grams)


def window_gram(lines: Tensor, size: int, dtype: torch.dtype) -> Tensor:
    """Return Σ w wᴴ over all size × size windows w of `(..., coil, ky, kx)`: `(..., n, n)` for n = coil·size².

    Windows share rows: what two of them have in common along kx is multiplied once, and summed over the windows that
    hold both. A row is multiplied with `size` others then, not with size². Sums of over 128 samples are in `dtype`.
    """
    n_coils, n_lines, _ = lines.shape[-3:]
    rows = lines.unfold(-1, size, 1).movedim(-2, -1).transpose(-4, -3).flatten(-3, -2)  # (..., ky, coil·ux, kx)
    gram = lines.new_zeros(*lines.shape[:-3], *(n_coils, size, size) * 2, dtype=dtype)
    for apart in range(size):
        pair = rows[..., apart:, :, :], rows[..., : n_lines - apart, :, :]
        below, above = (side.split(TOGETHER, -1) for side in pair)
        shared = sum((one @ other.mH).to(dtype) for one, other in zip(below, above, strict=True))
        for first in range(size - apart):
            block = shared[..., first : first + n_lines - size + 1, :, :].sum(-3)
            block = block.unflatten(-1, (n_coils, size)).unflatten(-3, (n_coils, size))
            gram[..., first + apart, :, :, first, :] = block
            gram[..., first, :, :, first + apart, :] = block.movedim((-2, -1), (-4, -3)).conj()
    return gram.flatten(-3).flatten(-4, -2)


def _windows(lines: Tensor, size: int) -> Tensor:
    """All windows of `(..., coil, ky, kx)`, overlapping, as rows: `(..., window, coil·size²)`."""
    windows = lines.unfold(-2, size, 1).unfold(-2, size, 1)  # (..., coil, y, x, size, size)
    return windows.movedim(-5, -3).flatten(-3).flatten(-3, -2)
