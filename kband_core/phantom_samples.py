"""The phantom's k-space wherever a trajectory leads."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from kband_core.phantom import Phantom, SinusoidalCoils
from kband_core.phantom_volume import Z_FREQUENCIES, RingCoils, head_ellipsoids


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


def stack_samples_at(coils: RingCoils, coords: Tensor, n_partitions: int, fov_z: float) -> Iterator[Tensor]:
    """Sample the k-space of the whole head at `coords` `(..., 2)`, as `coil_samples_at`, in each of `n_partitions`.

    `fov_z` is the thickness of the slab in boxes. Yields `(coil, ...)` for each kz.
    """
    frequencies, head = coils.in_plane.frequencies, head_ellipsoids()
    ky, kx = coords.double().unbind(-1)
    for partition in range(n_partitions):
        received: Tensor | float = 0
        for along_z, shift_z in zip(coils.along_z.unbind(1), Z_FREQUENCIES, strict=True):
            kz = torch.tensor((partition - n_partitions // 2) / fov_z - shift_z, dtype=torch.float64)
            for along_y, shift_y in zip(coils.in_plane.coefficients.unbind(1), frequencies, strict=True):
                for weight, shift_x in zip(along_y.unbind(1), frequencies, strict=True):
                    seen = sum(part.kspace(kz, ky - shift_y, kx - shift_x) for part in head)
                    received = received + torch.tensordot((along_z * weight)[:, None], seen[None], dims=1)
        yield received.to(torch.complex64)
