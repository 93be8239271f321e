"""RAKI as first published, of real numbers, and rRAKI, which puts a linear path beside it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import relu

from kband_core.footprint import (
    calibration_columns,
    calibration_targets,
    check_calibration,
    circular_columns,
    crop_samples,
)

FIRST, LAST = (2, 5), (2, 3)  # lines and samples of the kernels
CHANNELS = (32, 8)


@dataclass(frozen=True)
class RealRakiNetwork:
    """One small real network for the real and one for the imaginary part of each coil; `apply_raki` takes it.

    layers: `(..., part, out, in·line·sample)`, where the 2C parts are all coils' real, then all coils' imaginary
    parts. Every layer sees lines R apart, so a group sees itself and the two behind it. linear: the same for rRAKI's
    linear path.
    """

    layers: tuple[Tensor, Tensor, Tensor]
    acceleration: int
    n_coils: int
    linear: Tensor | None = None

    @property
    def n_offsets(self) -> int:
        return self.acceleration - 1

    def forward(self, lines: Tensor) -> Tensor:
        """Predict `(..., coil, offset, group, kx)` from the acquired lines `(..., coil, group, kx)`."""
        size = lines.abs().amax((-3, -2, -1), keepdim=True).clamp(min=torch.finfo(torch.float32).tiny)
        columns = circular_columns(_parts(lines / size), *FIRST).unsqueeze(-3)
        channels = _hidden(self.layers, columns).unflatten(-1, lines.shape[-2:])
        predicted = self.layers[2] @ circular_columns(channels, *LAST)
        if self.linear is not None:
            predicted = predicted + self.linear @ columns
        real, imaginary = predicted.unflatten(-1, lines.shape[-2:]).chunk(2, -4)
        return torch.complex(real, imaginary) * size[..., None]


def fit_real_raki(
    acs: Tensor, acceleration: int, *, rng: torch.Generator, n_steps: int = 1000, rate: float = 3e-3
) -> RealRakiNetwork:
    """Fit the 2C networks of original RAKI, each on its own, all at once as batched matrix products.

    The loss is the norm, not its square, of what is left. acs `(..., coil, ky, kx)`.

    Akçakaya et al., RAKI, MRM 81:439 (2019).
    """
    return _fit(acs, acceleration, rng, n_steps, rate, linear_weight=None)


def fit_rraki(
    acs: Tensor,
    acceleration: int,
    *,
    rng: torch.Generator,
    n_steps: int = 2000,
    rate: float = 1e-3,
    linear_weight: float = 1.0,
) -> RealRakiNetwork:
    """Fit a linear path G and the networks F beside it: min ‖t − G − F‖ + λ‖t − G‖, λ `linear_weight`.

    Zhang et al., Residual RAKI, NeuroImage 256:119248 (2022).
    """
    return _fit(acs, acceleration, rng, n_steps, rate, linear_weight=linear_weight)


def _fit(
    acs: Tensor, acceleration: int, rng: torch.Generator, n_steps: int, rate: float, *, linear_weight: float | None
) -> RealRakiNetwork:
    check_calibration("fit_real_raki", acs, acceleration, n_lines=FIRST[0] + LAST[0] - 1, n_samples=7)
    acs = acs / acs.abs().amax((-3, -2, -1), keepdim=True).clamp(min=torch.finfo(torch.float32).tiny)
    parts, n_coils, n_offsets = _parts(acs), acs.shape[-3], acceleration - 1
    sources = calibration_columns(parts, acceleration, FIRST)
    targets = calibration_targets(parts, acceleration, FIRST, n_offsets, later=LAST[1:])
    targets = targets.unflatten(-3, (2 * n_coils, n_offsets))[..., :-acceleration, :].flatten(-2)
    rows = sources.shape[-2:]
    seen = crop_samples(sources[..., :-acceleration, :], LAST[1:]).flatten(-2).unsqueeze(-3)
    sources = sources.flatten(-2).unsqueeze(-3)
    n_inputs = (sources.shape[-2], CHANNELS[0], CHANNELS[1] * LAST[0] * LAST[1], sources.shape[-2])
    n_outputs = (*CHANNELS, n_offsets, n_offsets)
    weights = [
        _truncated_normal((*acs.shape[:-3], 2 * n_coils, *shape), rng, acs)
        for shape in list(zip(n_outputs, n_inputs, strict=True))[: 3 if linear_weight is None else 4]
    ]
    optimiser = torch.optim.Adam(weights, lr=rate)
    with torch.enable_grad():
        for _ in range(n_steps):
            optimiser.zero_grad()
            channels = _hidden(weights, sources).unflatten(-1, rows)
            residual = targets - weights[2] @ calibration_columns(channels, acceleration, LAST).flatten(-2)
            if linear_weight is None:
                loss = _norm(residual)
            else:
                unexplained = targets - weights[3] @ seen
                loss = _norm(residual - targets + unexplained) + linear_weight * _norm(unexplained)
            loss.backward()
            optimiser.step()
    weights = [weight.detach() for weight in weights]
    return RealRakiNetwork(tuple(weights[:3]), acceleration, n_coils, linear=(weights[3:] or [None])[0])


def _hidden(layers, columns: Tensor) -> Tensor:
    return relu(layers[1] @ relu(layers[0] @ columns))


def _norm(residual: Tensor) -> Tensor:
    """Sum of the norms of all networks, so that each is trained as if it were alone."""
    return torch.linalg.vector_norm(residual, dim=(-2, -1)).sum()


def _parts(lines: Tensor) -> Tensor:
    return torch.cat([lines.real, lines.imag], -3)


def _truncated_normal(shape: tuple[int, ...], rng: torch.Generator, like: Tensor) -> Tensor:
    drawn = torch.empty(shape[-3:], device=rng.device)
    torch.nn.init.trunc_normal_(drawn, std=0.1, a=-0.2, b=0.2, generator=rng)
    return like.real.new_empty(shape).copy_(drawn).requires_grad_()
