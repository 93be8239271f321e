"""How badly any water and fat explain the echoes of a pixel, field by field."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from kband_core.relaxometry.fat_model import fat_turns

DECAYS = 10.0, 50.0, 150.0, 400.0  # 1/s, tried where R2* is not known: a fat signal is no water that decays fast


def products(echoes: Tensor) -> Tensor:
    """Return what the misfit needs of `echoes` `(echo, ...)`, so that pixels can be averaged first: `(echo², ...)`.

    Real and imaginary parts of s sᴴ, whose sums over pixels have the sum of the misfits.
    """
    n = len(echoes)
    pairs = [(first, second) for first in range(n) for second in range(first, n)]
    apart = [torch.view_as_real(echoes[first] * echoes[second].conj()) for first, second in pairs]
    return torch.stack([part[..., 0] for part in apart] + [
        part[..., 1] for part, (first, second) in zip(apart, pairs, strict=True) if first != second
    ])  # fmt: skip


def misfit(products: Tensor, echo_times_ms: Tensor, field_t: float, b0: Tensor) -> tuple[Tensor, Tensor]:
    """Return what is left of the energy of pixels `(echo², pixel)` at each of the fields `b0`, Hz, for the best decay.

    Variable projection: water and fat enter linearly, so their best values are a projection. Returns the energies
    `(b0, pixel)` and the decays, 1/s, by which they were reached.
    """
    turns, seconds = fat_turns(echo_times_ms, field_t), echo_times_ms.double() * 1e-3
    turn = torch.polar(torch.ones(len(b0), len(seconds), dtype=torch.float64), 2 * math.pi * b0[:, None] * seconds)
    least = decays = None
    for decay in DECAYS:
        basis = turn[..., None] * _explained(turns, seconds, decay)
        left = _weights(torch.eye(len(seconds)) - basis @ basis.mH).to(products) @ products
        decays = torch.full_like(left, decay) if least is None else torch.where(left < least, decay, decays)
        least = left if least is None else torch.minimum(least, left)
    return least.clamp(min=0), decays


def _explained(turns: Tensor, seconds: Tensor, decay: float) -> Tensor:
    """An orthonormal basis `(echo, 2)` of what water and fat can make at one decay and no field."""
    fade = torch.exp(-decay * seconds)
    return torch.linalg.qr(torch.stack((fade + 0j, fade * turns), 1))[0]


def _weights(outside: Tensor) -> Tensor:
    """What `products` are multiplied by to get sᴴ P⊥ s, of projections `(b0, echo, echo)`."""
    first, second = torch.triu_indices(*outside.shape[-2:])
    of_pairs = outside[:, second, first] * torch.where(first == second, 1.0, 2.0)
    return torch.cat((of_pairs.real, -of_pairs.imag[:, first != second]), 1)
