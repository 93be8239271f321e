"""Two figures by which a scan is compared with those a network was trained on: its SNR, and what its coil maps miss."""

from __future__ import annotations

import torch
from torch import Tensor

from kband_core.axes import check_axes
from kband_core.coils import sample_energy
from kband_core.fourier import resize, to_image
from kband_core.noise_windows import CENTRAL
from kband_core.scaling import central_brightness


def signal_to_noise(kspace: Tensor, noise: Tensor) -> Tensor:
    """Return how bright planes `(..., coil, ky, kx)` are, in units of the noise of one coil; `(...)`.

    Brightness is the scale that networks divide by, the 95th percentile of a low-resolution root sum of squares;
    `noise` `(...)` is the SD of a complex sample, the same in all coils. 0 or NaN where there is no signal.
    """
    return central_brightness(kspace) / noise


def unmapped_share(acs: Tensor, csm: Tensor, noise: Tensor) -> Tensor:
    """Return the share `(...)` of the energy of calibration lines that lies where coil maps are zero.

    A network that combines coils by such maps does not see it. The central 24 lines, 48 samples of each, are compared
    at their own resolution. Noise of SD `noise` `(...)`, which is everywhere, does not count: the share may come out a
    little below 0. acs `(..., coil, ky, kx)` of any extent, zero where nothing was acquired; csm `(..., set, coil, y,
    x)`.
    """
    check_axes(acs=(acs, "... coil ky kx"), csm=(csm, "... set coil y x"))
    central = resize(acs, [min(CENTRAL, acs.shape[-2]), min(2 * CENTRAL, acs.shape[-1])])
    grid = [min(2 * n, side) for n, side in zip(central.shape[-2:], csm.shape[-2:], strict=True)]
    image = sample_energy(to_image(resize(central, grid))).sum(-3)
    n_measured = (central != 0).sum((-3, -2, -1), keepdim=True).squeeze(-3)
    image = image - noise[..., None, None].square() * n_measured / (grid[0] * grid[1])
    mapped = csm.any(-3).any(-3).to(image.dtype).reshape(-1, 1, *csm.shape[-2:])
    mapped = torch.nn.functional.adaptive_avg_pool2d(mapped, grid)
    lost, whole = ((image * part).sum((-2, -1)) for part in (1 - mapped.view_as(image), 1))
    return lost / whole.clamp(min=torch.finfo(image.dtype).tiny)
