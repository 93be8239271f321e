"""The phantom's k-space wherever a trajectory leads."""

from __future__ import annotations

import torch
from torch import Tensor

from kband_core.phantom import Phantom, SinusoidalCoils


def coil_samples_at(phantom: Phantom, coils: SinusoidalCoils, coords: Tensor) -> Tensor:
    """Sample the k-space Σ a F(k - κ) that each coil receives at `coords` `(..., 2)`, ky and kx in cycles per box.

    At 0 it is the integral over the area. Returns `(coil, ...)`.
    """
    ky, kx = coords.double().unbind(-1)
    shifted_x = kx - coils.frequencies.view(-1, *[1] * kx.ndim)
    received = 0
    for along_x, shift in zip(coils.coefficients.to(torch.complex64).unbind(1), coils.frequencies, strict=True):
        received = received + torch.tensordot(along_x, phantom.kspace(ky - shift, shifted_x), dims=1)
    return received
