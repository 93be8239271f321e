"""Images that lose nothing to coil maps, with the shading of the coils as they came."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from gadgets.coils.per_slice import PerSlice
from gadgets.items import ReconBuffer, acquired_lines
from kband_core.coils import root_sum_of_squares
from kband_core.completion import combine_completed, complete
from kband_core.fourier import to_image
from kband_core.grappa import GrappaKernel, apply_grappa
from kband_core.noise import ROUNDING, noise_level
from kband_core.sampling import grid_ends


def combined(buffer: ReconBuffer, fill: Callable[[Tensor, Tensor], Tensor] | None = None) -> Tensor:
    """Combine the coils of a single image `(z, y, x)`, k-space without gaps, or filled by `fill(kspace, mask)`."""
    kspace, mask, unmixing = _white(buffer)
    filled = kspace if fill is None else fill(kspace, mask)
    if buffer.all_maps is None:
        coil_image = torch.einsum("...cv,...vyx->...cyx", unmixing, to_image(filled))
        return root_sum_of_squares(coil_image).to(kspace.dtype)
    mask = torch.ones_like(mask) if fill is None else mask
    return combine_completed(kspace, filled, mask, buffer.all_maps[0], unmixing=unmixing).image


def completed(
    buffer: ReconBuffer,
    reconstruct: Callable[[Tensor, Tensor, Tensor], Tensor],
    kernels: PerSlice[GrappaKernel],
    misses: Callable[[GrappaKernel, Tensor], float] = lambda kernel, acs: 0.0,
) -> Tensor:
    """Complete `reconstruct(kspace, mask, csm)`, `(z, set, y, x)`, by GRAPPA where lines lie on a grid.

    `misses(kernel, acs)`: the share of what it fills that GRAPPA itself is known to miss.
    """
    kspace, mask, unmixing = _white(buffer)
    csm = buffer.csm[0]

    fill, missed, lines = None, 0.0, acquired_lines(mask)
    try:
        grid_ends("completed", lines.cpu(), buffer.encoding.acceleration[0])
        kernel = kernels.of(buffer)[0]
        fill = partial(apply_grappa, kernel, kspace, lines)
        missed = misses(GrappaKernel(kernel.weights[0]), buffer.acs[0, 0])
    except (ValueError, RuntimeError):  # lines on no grid
        pass
    image = reconstruct(kspace, mask, csm)
    return complete(image, csm, kspace, mask, fill=fill, fill_misses=missed, unmixing=unmixing).image


def _white(buffer: ReconBuffer) -> tuple[Tensor, Tensor, Tensor]:
    """K-space and mask of the planes, in units of noise, and what undoes that."""
    kspace, mask = buffer.planes()
    if buffer.unmixing is not None:
        return kspace, mask, buffer.unmixing[0]
    level = noise_level(kspace, mask).square().mean().sqrt().clamp(min=ROUNDING * kspace.abs().max())
    return kspace / level, mask, level * torch.eye(kspace.shape[-3], dtype=kspace.dtype, device=kspace.device)
