"""The phase between echoes of both polarities, which would make a ghost half a field of view away."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class EchoPhase:
    """Phase of positive echoes over negative ones, linear along x, and the drift from each echo to the next.

    slope   radians per pixel, `(coil,)` or `(1,)` for all coils alike: readouts of both ways do not meet in k
    offset  radians at pixel N//2, of the same shape
    drift   radians per echo: off-resonance, which moves the image along y; None where nothing told it
    """

    slope: Tensor
    offset: Tensor
    drift: float | None = 0.0

    def factors(self, is_positive: Tensor, echo: Tensor, n_pixels: int) -> Tensor:
        """Return what echoes, as they are along x, are multiplied by: complex64 `(echo, coil, x)`.

        Half of the phase is taken from each polarity, and `drift` times the number of the `echo` in its train.
        `is_positive` bool and `echo` `(echo,)`.
        """
        x = torch.arange(n_pixels, dtype=torch.float64) - n_pixels // 2
        phase = self.slope.double()[:, None] * x + self.offset.double()[:, None]
        half = torch.where(is_positive, -0.5, 0.5).double()[:, None, None] * phase
        angle = half - (self.drift or 0.0) * echo.double()[:, None, None]
        return torch.polar(torch.ones_like(angle), angle).to(torch.complex64)

    def plus(self, slope: float, offset: float) -> EchoPhase:
        """Return the phase with so much more of slope and offset, in all coils."""
        return replace(self, slope=self.slope + slope, offset=self.offset + offset)


NO_PHASE = EchoPhase(torch.zeros(1), torch.zeros(1))


def navigator_phase(navigators: Tensor, is_positive: Tensor, *, per_coil: bool) -> EchoPhase | None:
    """Estimate the phase from consecutive echoes without phase encoding, or None if both polarities are not among them.

    `navigators` `(echo, coil, x)` as they are along x, in the order of their acquisition. Each echo is compared with
    both of its neighbours, drift taken off, so that off-resonance does not count; two echoes alone tell of no drift.
    The slope is the phase of the correlation of neighbouring pixels: no phase is unwrapped. Per coil, or over all.
    """
    turns = is_positive[1:] != is_positive[:-1]
    if not turns.any():
        return None
    data = navigators.to(torch.complex128)
    alike = turns[1:] & turns[:-1]
    drift = (data[:-2].conj() * data[2:])[alike].sum().angle() / 2
    steps = (data[:-1].conj() * data[1:])[turns] * torch.polar(torch.ones_like(drift), -drift)
    together = torch.where(is_positive[1:][turns, None, None], steps, steps.conj()).sum(0)
    together = together if per_coil else together.sum(0, keepdim=True)
    slope = (together[:, :-1].conj() * together[:, 1:]).sum(-1).angle()
    x = torch.arange(together.shape[-1], dtype=torch.float64) - together.shape[-1] // 2
    offset = (together * torch.polar(torch.ones_like(x), -slope[:, None] * x)).sum(-1).angle()
    return EchoPhase(slope, offset, float(drift) if alike.any() else None)
