"""How loud noise is, told from the centre of k-space itself."""

from __future__ import annotations

import torch
from torch import Tensor

from kband_core.axes import check_axes
from kband_core.device import send
from kband_core.fourier import resize
from kband_core.noise_windows import CENTRAL, choose_windows, noise_energies, quietest, window_energies
from kband_core.threads import single_thread

# Samples of a window, of all coils, at most: 36 of two coils are full of signal, and the SD is told twice too high; 75
# do, and 300 tell no more in three times the time.
DIRECTIONS = 150


def noise_level(kspace: Tensor, mask: Tensor) -> Tensor:
    """Estimate the SD of the complex noise of a sample of one coil from k-space `(..., coil, ky, kx)`; `(...)`.

    It is told from the energy of windows of the central 24 lines in their quietest directions, over that of pure noise
    of SD 1 in the same windows. White noise is assumed. They have up to 150 samples, less where few are acquired; of
    eight coils, 4 × 4. `mask` `(..., ky, kx)` or `(..., ky, 1)`; windows with holes do not count. Raises `ValueError`
    if nothing was acquired in the centre.
    """
    n = check_axes(kspace=(kspace, "... coil ky kx"))
    central = [min(CENTRAL, n["ky"]), n["kx"]]
    lines = resize(kspace, central)
    acquired = resize(mask.expand(*mask.shape[:-1], n["kx"]), central) & (lines != 0).any(-3)
    size, whole = choose_windows(acquired.cpu(), n["coil"], DIRECTIONS)
    if not whole.any(-1).all():
        raise ValueError("noise level: the centre of k-space holds no samples")
    shape, planes = lines.shape[-3:], whole.view(-1, whole.shape[-1])
    with single_thread():
        pure = torch.stack([noise_energies(shape, one, size, lines.dtype) for one in planes])
        least = send(quietest(pure), lines.device).view(whole.shape[:-1])
        return (quietest(window_energies(lines, whole, size)) / least).sqrt().to(lines.real.dtype)
