"""Noise whitening: linear combinations of the coils in which noise is uncorrelated and of known size."""

from __future__ import annotations

import torch
from torch import Tensor

from kband_core.axes import check_axes
from kband_core.plural import counted

SMALLEST_SHARE = 1e-12  # of a coil's noise power that the coils before it must leave unexplained
SILENT = 1e-6  # of the median noise power: a coil that was not received
PARTS = 16  # of a noise readout, whose power is compared
STEADY = 1.5  # times the median part: real noise scans reach 1.1; an echo as strong as noise, 2


def noise_covariance(noise: Tensor) -> Tensor:
    """Estimate how the noise of the coils is correlated: C = XXᴴ/(N−1) over the N samples of X.

    The mean is not removed: thermal noise has none, and what looks like one is noise too. `noise` is `(coil, sample)`;
    returns `(coil, coil)` in complex128, because raw values of 1e-7 have a power of 1e-14.
    """
    n_samples = check_axes(noise=(noise, "coil sample"))["sample"]
    if n_samples < 2:
        raise ValueError(f"noise has {counted(n_samples, 'sample')}, at least 2 needed")
    noise = noise.to(torch.complex128)
    return noise @ noise.mH / (n_samples - 1)


def silent_coils(covariance: Tensor) -> Tensor:
    """Tell which coils of a noise covariance `(coil, coil)` were not received: all of them where there is no noise."""
    power = covariance.diagonal().real
    usual = power[power > 0].median() if (power > 0).any() else power.new_tensor(1.0)
    return power <= SILENT * usual


def is_steady(noise: Tensor) -> bool:
    """Whether noise readouts `(coil, readout, sample)` hold noise alone: as strong at any time, which an echo is not.

    The power of the loudest sixteenth of the readouts is compared with that of the median one, within what so few
    samples scatter by, six times; the mean of the coils that are not silent.
    """
    n = check_axes(noise=(noise, "coil readout sample"))
    if n["sample"] < PARTS:
        raise ValueError(
            f"noise readouts of {counted(n['sample'], 'sample')}, at least {PARTS} needed to compare their "
            "parts"
        )
    power = noise.to(torch.complex128).abs().square().mean(1)[:, : n["sample"] // PARTS * PARTS]
    parts = power.unflatten(-1, (PARTS, -1)).mean(-1)
    alive = (parts > 0).all(-1)
    if not alive.any():
        return True
    parts = (parts[alive] / parts[alive].median(-1, keepdim=True).values).mean(0)
    scatter = (int(alive.sum()) * n["readout"] * (n["sample"] // PARTS)) ** -0.5
    return bool(parts.max() < STEADY + 6 * scatter)


def whitening_of_others(covariance: Tensor, silent: Tensor, scale: float = 1.0) -> Tensor:
    """Return what `whitening_matrix` does of the coils that are not `silent` `(coil)`, and zero for those that are."""
    alive = ~silent
    matrix = torch.zeros(covariance.shape, dtype=torch.complex64, device=covariance.device)
    if alive.any():
        matrix[alive.outer(alive)] = whitening_matrix(covariance[alive][:, alive], scale).flatten()
    return matrix


def whitening_matrix(covariance: Tensor, scale: float = 1.0) -> Tensor:
    """Return s·L⁻¹ with C = LLᴴ: coils combined by it have noise of covariance s²·1.

    `covariance` is `(coil, coil)`; returns complex64 of the same shape. Raises `ValueError` where C has no inverse.
    """
    if covariance.ndim != 2 or covariance.shape[0] != covariance.shape[1]:
        raise ValueError(f"noise covariance has shape {tuple(covariance.shape)}, expected (coil, coil)")
    n_coils = len(covariance)
    covariance = covariance.to(torch.complex128)
    if not covariance.isfinite().all():
        raise ValueError(f"noise covariance of {counted(n_coils, 'coil')} holds values that are not finite")
    factor, failed = torch.linalg.cholesky_ex(covariance)
    share = factor.diagonal().abs() ** 2 / covariance.diagonal().abs()
    singular = torch.nonzero(~(share > SMALLEST_SHARE)).flatten().tolist()
    if failed or singular:
        coil = int(failed) - 1 if failed else singular[0]
        raise ValueError(
            f"noise covariance of {counted(n_coils, 'coil')} is singular: coil {coil} has no noise of its own, "
            "as a dead or doubled channel, or fewer noise samples than coils"
        )
    identity = torch.eye(n_coils, dtype=factor.dtype, device=factor.device)
    return (scale * torch.linalg.solve_triangular(factor, identity, upper=False)).to(torch.complex64)


def whiten(kspace: Tensor, matrix: Tensor, *, dim: int = -3) -> Tensor:
    """Combine the coils of `kspace`, which lie along `dim`, by `matrix` `(coil, coil)`."""
    if kspace.shape[dim] != matrix.shape[1]:
        raise ValueError(
            f"kspace has {counted(kspace.shape[dim], 'coil')}, but the whitening matrix has "
            f"{matrix.shape[1]}"
        )
    return torch.tensordot(matrix, kspace, dims=([1], [dim])).movedim(0, dim)
