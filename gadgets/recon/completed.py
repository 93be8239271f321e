"""Images that lose nothing to coil maps, with the shading of the coils as they came."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from gadgets.coils.per_slice import PerSlice
from gadgets.items import ReconBuffer, acquired_lines
from kband_core.coils import root_sum_of_squares
from kband_core.completion import combine_completed, complete
from kband_core.fourier import to_image
from kband_core.grappa import GrappaKernel, apply_grappa
from kband_core.noise import noise_level


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
    buffer: ReconBuffer, reconstruct: Callable[[Tensor, Tensor, Tensor], Tensor], kernels: PerSlice[GrappaKernel]
) -> Tensor:
    """Complete `reconstruct(kspace, mask, csm)`, `(z, set, y, x)`, by GRAPPA where lines lie on a grid."""
    kspace, mask, unmixing = _white(buffer)
    csm = buffer.csm[0]

    def fill() -> Tensor:
        try:
            return apply_grappa(kernels.of(buffer)[0], kspace, acquired_lines(mask))
        except (ValueError, RuntimeError):
            return kspace

    return complete(reconstruct(kspace, mask, csm), csm, kspace, mask, fill=fill, unmixing=unmixing).image


def _white(buffer: ReconBuffer) -> tuple[Tensor, Tensor, Tensor]:
    """K-space and mask of the planes, in units of noise, and what undoes that."""
    kspace, mask = buffer.planes()
    if buffer.unmixing is not None:
        return kspace, mask, buffer.unmixing[0]
    level = noise_level(kspace, mask).square().mean().sqrt()
    return kspace / level, mask, level * torch.eye(kspace.shape[-3], dtype=kspace.dtype, device=kspace.device)
