"""Coils combined by maps without losing what these do not explain, with the shading of the coils as they came."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from gadgets.items import ReconBuffer
from gadgets.recon.reconstruction import Map, Reconstruction
from kband_core.coil_noise import ROUNDING
from kband_core.coils import compress, root_sum_of_squares
from kband_core.completion import Completed, combine_completed
from kband_core.device import send
from kband_core.fourier import to_image
from kband_core.noise import noise_level
from kband_core.sampling import Grid


def combined(
    buffer: ReconBuffer, filled: Tensor | None = None, maps: Mapping[str, Map] | None = None
) -> Reconstruction:
    """Combine the coils of a single image by its maps, if any, else by a root sum of squares of coils as they came.

    `filled` `(z, coil, ky, kx)`: its k-space without gaps, if lines were left out.
    """
    kspace, sampling = buffer.planes()
    coils = kspace if filled is None else filled
    if buffer.csm is None:
        return Reconstruction(sum_of_squares(to_image(coils), buffer), maps=maps or {})
    csm = buffer.csm[0] if buffer.all_maps is None else buffer.all_maps[0]
    if filled is None:
        sampling = Grid(torch.ones_like(sampling.here().mask)).to(kspace.device)
    done = combine_completed(
        kspace, coils, sampling, csm, noise=noise_of(buffer), unmixing=unmixing_of(buffer),
        ahead=buffer.ahead and buffer.ahead[1],
    )  # fmt: skip
    return told(done, buffer, maps=maps)


def sum_of_squares(coil_image: Tensor, buffer: ReconBuffer) -> Tensor:
    """Root sum of squares of coil images `(z, coil, y, x)`, over the coils as they came; complex `(z, y, x)`."""
    if buffer.unmixing is not None:
        coil_image = compress(coil_image, send(buffer.unmixing[0], coil_image.device))
    return root_sum_of_squares(coil_image).to(buffer.kspace.dtype)


def noise_of(buffer: ReconBuffer) -> Tensor | float:
    """SD of the noise of a single image's coils: 1 where they were whitened."""
    if buffer.unmixing is not None:
        return 1.0
    kspace, sampling = buffer.planes()
    return noise_level(kspace, sampling.mask).square().mean().sqrt().clamp(min=ROUNDING * kspace.abs().max())


def unmixing_of(buffer: ReconBuffer) -> Tensor | None:
    """What brings a single image's coils back to those that came `(coil, virtual)`, if they are others."""
    return None if buffer.unmixing is None else buffer.unmixing[0]


def told(
    done: Completed,
    buffer: ReconBuffer,
    *,
    maps: Mapping[str, Map] | None = None,
    notes: Mapping[str, str] | None = None,
) -> Reconstruction:
    """The reconstruction of what was completed; with what coils see of it where held-out lines will ask for that."""
    unexplained = {"kband_unexplained": f"{float(done.share.mean()):.4f}"}
    made = Reconstruction(done.image, maps or {}, {**(notes or {}), **unexplained})
    return made if buffer.held_out is None else replace(made, coil_image=done.coil_image())
