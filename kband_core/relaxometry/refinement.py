"""Field and decay of each pixel to the last digit, and how far noise moves all that is told of it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from kband_core.relaxometry.fat_model import fat_shift_hz, fat_turns

STEPS = 6
FARTHEST = 0.25  # shifts of fat from where it began: farther off, water and fat might change places


@dataclass(frozen=True)
class Fit:
    """Least squares at `b0`, Hz, and `r2star`, 1/s, pixel by pixel.

    water, fat  complex
    left        energy of the echoes that is not explained
    bend        Re(DᴴP⊥D) `(pixel, 2, 2)`: how fast that energy grows with field and decay, in 1/Hz² and s²
    gram        AᴴA `(pixel, 2, 2)` of the linear amplitudes
    drag        how water and fat move with field and decay `(pixel, 2, 2)`
    """

    b0: Tensor
    r2star: Tensor
    amplitudes: Tensor
    left: Tensor
    slope: Tensor
    bend: Tensor
    gram: Tensor
    drag: Tensor


def refine(
    echoes: Tensor, echo_times_ms: Tensor, field_t: float, *, b0: Tensor, decay: Tensor, most_r2star: Tensor
) -> Fit:
    """Fit `echoes` `(echo, pixel)` from a first field and decay, by variable projection and Gauss–Newton steps, damped
    where they would do harm. R2* stays between 0 and `most_r2star`.

    Golub and Pereyra, SIAM J Numer Anal 10:413 (1973); Kaufman, BIT 15:49 (1975).
    """
    model = _Model(echoes.mT.to(torch.complex128), echo_times_ms, field_t)
    first, reach = b0.double(), FARTHEST * fat_shift_hz(field_t)
    fit, most_r2star = model.fit(first, torch.minimum(decay, most_r2star).double()), most_r2star.double()
    damping = torch.full_like(fit.left, 1e-3)
    for _ in range(STEPS):
        scale = torch.diag_embed(fit.bend.diagonal(dim1=-2, dim2=-1) * damping[:, None] + 1e-30)
        step = torch.linalg.solve(fit.bend + scale, fit.slope)
        tried = model.fit(
            torch.minimum(torch.maximum(fit.b0 + step[:, 0], first - reach), first + reach),
            torch.minimum((fit.r2star + step[:, 1]).clamp(min=0), most_r2star),
        )
        is_better = tried.left <= fit.left
        damping = torch.where(is_better, damping / 10, damping * 10).clamp(1e-9, 1e9)
        fit = _chosen(is_better, tried, fit)
    return fit


@dataclass(frozen=True)
class _Model:
    signal: Tensor
    echo_times_ms: Tensor
    field_t: float

    def fit(self, b0: Tensor, r2star: Tensor) -> Fit:
        """Project the signal on what water and fat make in that field."""
        seconds = self.echo_times_ms.double() * 1e-3
        turn = torch.exp(torch.complex(-r2star, 2 * math.pi * b0)[:, None] * seconds)
        basis = torch.stack((turn, turn * fat_turns(self.echo_times_ms, self.field_t)), -1)
        gram = basis.mH @ basis
        amplitudes = torch.linalg.solve(gram, basis.mH @ self.signal[..., None])[..., 0]
        explained = (basis @ amplitudes[..., None])[..., 0]
        left = self.signal - explained
        moves = torch.stack((2j * math.pi * seconds * explained, -seconds * explained), -1)
        drag = -torch.linalg.solve(gram, basis.mH @ moves)
        moves = moves + basis @ drag
        slope = (moves.mH @ left[..., None])[..., 0].real
        energy = torch.view_as_real(left).square().sum((-1, -2))
        return Fit(b0, r2star, amplitudes, energy, slope, (moves.mH @ moves).real, gram, drag)


def _chosen(is_first: Tensor, first: Fit, second: Fit) -> Fit:
    parts = {}
    for name, one in vars(first).items():
        parts[name] = torch.where(is_first.view(-1, *[1] * (one.ndim - 1)), one, getattr(second, name))
    return Fit(**parts)
