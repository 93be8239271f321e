"""How noise is correlated between coils, told from calibration lines: for scans without a noise measurement."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from kband_core.axes import check_axes
from kband_core.fourier import resize
from kband_core.noise_windows import CENTRAL, EDGE, QUIETEST, choose_windows, noise_energies, window_grams
from kband_core.whitening import whitening_matrix

# Samples of a window, of all coils, at most: 150 tell 12 coils half as well, 100 not at all; 300 take twice the time.
DIRECTIONS = 200
NARROWEST = 3  # samples across a window: those of 2 × 2 samples of 32 coils are full of signal, and tell of no noise
QUIET_SHARE = 1 / 4  # of the directions, at least, taken for noise: fewer would not show the noise of every coil
# Rounds end when the power of all combinations of coils changes alike, to 2 %, mostly within 10; after 3 some are told
# four times worse.
ROUNDS, SETTLED = 30, 0.02
WHITE_AT_ONCE = 0.285  # of the first round's: powers that change by less than 1.4 times are white; 1.5 may become 9
WHITE = 2.5  # times more power in one combination of coils than in another: of white noise up to 2.0 are told
LEAST_NOISE = 1e-4  # of the mean power, in any combination of coils: none is amplified by more than 100
ROUNDING = 1e-6  # SD of noise over the strongest sample, below which it is that of numbers in single precision
PARTITIONS = 8  # of a slab, at most, spread over it: the others cost as much and tell the same


def calibration_noise(acs: Tensor) -> Tensor:
    """Estimate the noise covariance of coils from calibration lines alone.

    Where signal is absent, the windows' covariance is that of the noise, the same for every sample of a window. Seen
    from the current estimate, directions no stronger than pure noise are taken for such; what they hold corrects the
    estimate, until they do not change it: up to 30 rounds, one where noise turns out white. After whitening by it, the
    noise power of the phantom's 2 to 16 coils differs by less than 1.9 times from one direction to another at 1 and
    5 % noise, where it differed by 3 times and more before; at less noise it is told less well. A coil without a signal
    is given the mean noise of the others.

    `acs` `(z, coil, ky, kx)`; returns `(coil, coil)` in complex128. Raises `ValueError` if it holds too few samples.
    """
    check_axes(acs=(acs, "z coil ky kx"))
    acs = acs[:: -(-len(acs) // PARTITIONS)].cpu()
    alive = (acs != 0).any(-1).any(-1).any(0)
    covariance = torch.eye(len(alive), dtype=torch.complex128)
    if alive.any():
        found = _covariance(acs[:, alive])
        covariance = covariance * found.diagonal().mean()
        covariance[alive.outer(alive)] = found.flatten()
    return covariance


def calibration_whitening(acs: Tensor) -> Tensor:
    """Return the matrix that whitens coils by the noise of their calibration lines, whose energy stays.

    The identity where noise is white already, as far as that can be told; where there is none, as in simulations; and
    where it cannot be told, from too few samples or in too many coils.

    `acs` `(z, coil, ky, kx)`; returns `(coil, coil)` in complex64.
    """
    as_it_is = torch.eye(acs.shape[-3], dtype=acs.dtype, device=acs.device)
    try:
        covariance = calibration_noise(acs)
        powers = torch.linalg.eigvalsh(covariance)
        unseen = powers.mean().sqrt() < ROUNDING * float(acs.abs().max())
        if unseen or powers[-1] < WHITE * powers[0]:
            return as_it_is
        matrix = whitening_matrix(covariance).to(acs.device)
    except (ValueError, torch.linalg.LinAlgError):
        return as_it_is
    return matrix * (acs.norm() / torch.einsum("vc,zcyx->zvyx", matrix, acs).norm())


def _covariance(acs: Tensor) -> Tensor:
    n = check_axes(acs=(acs, "z coil ky kx"))
    lines = resize(acs, [min(CENTRAL, n["ky"])], dims=[-2]).to(torch.complex128)
    size, whole = choose_windows((lines != 0).any(-3), n["coil"], DIRECTIONS)
    if size < NARROWEST:
        raise ValueError(
            f"noise of {n['coil']} coils cannot be told from {lines.shape[-2]} calibration lines of {n['kx']} samples: "
            f"at most {DIRECTIONS // NARROWEST**2} coils, and more samples, needed"
        )
    n_directions = n["coil"] * size**2
    gram = window_grams(lines, whole, size).sum(0) / whole.sum()
    pure = noise_energies(lines.shape[-3:], whole[whole.sum(-1).argmax()], size, lines.dtype)
    rounding = (0.01 * ROUNDING * float(lines.abs().max())) ** 2  # or windows without any noise would be singular
    gram = gram + rounding * torch.eye(n_directions, dtype=gram.dtype)
    covariance = gram.diagonal().real.mean() * torch.eye(n["coil"], dtype=gram.dtype)
    within = torch.eye(size**2, dtype=gram.dtype)
    n_quietest = round(QUIETEST * n_directions)
    for settled in [WHITE_AT_ONCE, *[SETTLED] * (ROUNDS - 1)]:
        factor = torch.linalg.cholesky(covariance)
        whiten = torch.kron(torch.linalg.inv(factor).contiguous(), within)
        energies, directions = torch.linalg.eigh(whiten @ gram @ whiten.mH)
        level = energies[:n_quietest].mean() / pure[:n_quietest].mean()
        n_noise = int((energies < EDGE * level * pure[-1]).sum())
        n_quiet = max(n_noise, int(QUIET_SHARE * n_directions), n["coil"])
        change = _change(energies[:n_quiet], directions[:, :n_quiet].unflatten(0, (n["coil"], -1)))
        covariance = _with_least_noise(factor @ change @ factor.mH)
        corrections = torch.linalg.eigvalsh(change)
        if corrections[-1] - corrections[0] < settled * corrections[-1]:
            break
    return covariance


def _change(energies: Tensor, directions: Tensor) -> Tensor:
    """Covariance between coils `(coil, coil)` of what directions `(coil, sample, direction)` hold, over that of noise
    of power 1 in the same directions: the identity where they hold just that.
    """
    seen = torch.einsum("apn,bpn->ab", directions, directions.conj())
    found = torch.einsum("apn,bpn->ab", directions * energies, directions.conj())
    inverse_root = _matrix_function(seen, lambda values: values.clamp(min=1e-6).rsqrt())  # 0 of a coil that none sees
    return inverse_root @ found @ inverse_root


def _with_least_noise(covariance: Tensor) -> Tensor:
    least = LEAST_NOISE * covariance.diagonal().real.mean()
    return _matrix_function(covariance, lambda values: values.clamp(min=least))


def _matrix_function(matrix: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
    """Apply a function to the eigenvalues of a Hermitian matrix."""
    values, vectors = torch.linalg.eigh((matrix + matrix.mH) / 2)
    return (vectors * function(values)) @ vectors.mH
