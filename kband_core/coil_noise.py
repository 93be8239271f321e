"""How noise is correlated between coils, told from calibration lines: for scans without a noise measurement."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from kband_core.axes import check_axes
from kband_core.fourier import resize
from kband_core.noise import noise_level
from kband_core.noise_windows import CENTRAL, EDGE, QUIETEST, choose_windows, noise_energies, window_grams
from kband_core.plural import counted
from kband_core.whitening import whitening_matrix

# Samples of a window, of all coils, at most: 150 tell 12 coils half as well, 100 not at all; 300 take twice the time.
DIRECTIONS = 200
NARROWEST = 3  # samples across a window: those of 2 × 2 samples of 32 coils are full of signal, and tell of no noise
MOST_COILS = 32  # told together: windows of more take longer than calibration may
QUIET_SHARE = 1 / 4  # of the directions, at least, taken for noise: fewer would not show the noise of every coil
ROUNDS = 10  # in which the covariance settles
WHITE = 2.5  # times more power in one combination of coils than in another: of white noise up to 2.0 are told
UNEQUAL = 10.0  # times the SD of noise of another coil: real scans reach 2.1
LEAST_NOISE = 1e-4  # of a combination of coils, in power, where each coil has 1: none is amplified by more than 100
ROUNDING = 1e-6  # SD of noise over the strongest sample, below which it is that of numbers in single precision
PARTITIONS = 8  # of a slab, at most, spread over it: the others cost as much and tell the same


def calibration_noise(acs: Tensor) -> Tensor:
    """Estimate the noise covariance of coils from calibration lines alone, for scans without a noise measurement.

    G, the covariance of the windows, is that of the noise Σ, the same for every sample, and of a signal in few
    directions. What no neighbour and no other coil predicts of a sample has the covariance of one block of G⁻¹,
    inverted; the mean of the blocks is where the estimate starts. It goes with the coils, however they are mixed or
    amplified, so that neither a loud coil nor correlated noise is taken for signal. Seen from there, directions no
    stronger than pure noise are taken for such, and what they hold corrects the estimate: ten times, or until noise
    turns out white.

    After whitening by it the noise power of the phantom's 2 to 16 coils differs by less than 1.9 times from one
    direction to another at 1 and 5 % noise, of 32 coils by 2.5 times. More are told in groups, as if noise were not
    correlated between these. A coil without a signal is given the mean noise of the others.

    `acs` `(z, coil, ky, kx)`; returns `(coil, coil)` in complex128. Raises `ValueError` if it holds too few samples.
    """
    check_axes(acs=(acs, "z coil ky kx"))
    acs = acs[:: -(-len(acs) // PARTITIONS)].cpu()
    alive = (acs != 0).any(-1).any(-1).any(0)
    covariance = torch.eye(len(alive), dtype=torch.complex128)
    if alive.any():
        n_groups = -(-int(alive.sum()) // MOST_COILS)
        found = torch.block_diag(*(_covariance(group) for group in acs[:, alive].chunk(n_groups, dim=1)))
        covariance = covariance * found.diagonal().mean()
        covariance[alive.outer(alive)] = found.flatten()
    return covariance


def _covariance(acs: Tensor) -> Tensor:
    n = check_axes(acs=(acs, "z coil ky kx"))
    lines = resize(acs, [min(CENTRAL, n["ky"])], dims=[-2]).to(torch.complex128)
    most = max(DIRECTIONS, n["coil"] * NARROWEST**2)
    size, whole = choose_windows((lines != 0).any(-3), n["coil"], most)
    if size < NARROWEST:
        raise ValueError(
            f"noise of {counted(n['coil'], 'coil')} cannot be told from "
            f"{counted(lines.shape[-2], 'calibration line')} of {counted(n['kx'], 'sample')}: "
            f"windows of {NARROWEST} × {NARROWEST} needed, twice as many as have samples in all coils"
        )
    n_directions = n["coil"] * size**2
    gram = window_grams(lines, whole, size).sum(0) / whole.sum()
    pure = noise_energies(lines.shape[-3:], whole[whole.sum(-1).argmax()], size, lines.dtype)
    rounding = (0.01 * ROUNDING * float(lines.abs().max())) ** 2  # or windows without any noise would be singular
    gram = gram + rounding * torch.eye(n_directions, dtype=gram.dtype)
    blocks = torch.linalg.inv(gram).unflatten(-1, (n["coil"], -1)).unflatten(-3, (n["coil"], -1))
    covariance = _with_least_noise(torch.linalg.inv(torch.einsum("apbp->ab", blocks)) * size**2)
    within = torch.eye(size**2, dtype=gram.dtype)
    n_quietest = round(QUIETEST * n_directions)
    for _ in range(ROUNDS):
        factor = torch.linalg.cholesky(covariance)
        whiten = torch.kron(torch.linalg.inv(factor).contiguous(), within)
        energies, directions = torch.linalg.eigh(whiten @ gram @ whiten.mH)
        level = energies[:n_quietest].mean() / pure[:n_quietest].mean()
        n_quiet = max(int((energies < EDGE * level * pure[-1]).sum()), int(QUIET_SHARE * n_directions), n["coil"])
        parts = directions[:, :n_quiet].reshape(n["coil"], size**2, n_quiet)
        seen = torch.einsum("apn,bpn->ab", parts, parts.conj())
        found = torch.einsum("apn,bpn->ab", parts * energies[:n_quiet], parts.conj())
        inverse_root = _matrix_function(seen, lambda values: values.clamp(min=1e-6).rsqrt())  # 0 of a coil none sees
        covariance = _with_least_noise(factor @ inverse_root @ found @ inverse_root @ factor.mH)
        if is_white(covariance):
            break
    return covariance


def is_white(covariance: Tensor) -> bool:
    """Whether noise of this covariance is equal and uncorrelated, as far as calibration lines can tell."""
    powers = torch.linalg.eigvalsh(covariance)
    return bool(powers[-1] < WHITE * powers[0])


def calibration_whitening(acs: Tensor) -> Tensor:
    """Return the matrix that whitens coils by the noise of their calibration lines; noise then has SD 1 in each.

    Where noise is white already, as far as that can be told, and where its covariance cannot be told, from too few
    samples, coils are scaled alike; so they are where there is no noise, as in simulations: to that of rounding.

    `acs` `(z, coil, ky, kx)`; returns `(coil, coil)` in complex64, on the CPU, for it is small. Raises `ValueError` for
    other axes.
    """
    check_axes(acs=(acs, "z coil ky kx"))
    acs = acs.cpu()
    as_it_is = torch.eye(acs.shape[-3], dtype=acs.dtype)
    least = ROUNDING * float(acs.abs().max())
    try:
        covariance = calibration_noise(acs)
        level = float(covariance.diagonal().real.mean().sqrt())
        if level < least or is_white(covariance):
            return as_it_is / max(level, least)
        return whitening_matrix(covariance)
    except (ValueError, torch.linalg.LinAlgError):
        level = float(noise_level(acs, torch.ones_like(acs[:, 0], dtype=torch.bool)).square().mean().sqrt())
        return as_it_is / max(level, least)


def unequal_coils(whitening: Tensor) -> tuple[int, int, float] | None:
    """Return the loudest and the quietest coil that a matrix `(virtual, coil)` whitens, and by how much noise differs.

    None where SD differs by less than ten times: such coils are whitened and no harm done. More is no noise of a
    receiver, but gains that changed between a noise scan and the image: what shades the image then is not known.
    """
    whitening = whitening.cpu()  # small, and of a GPU every number would have to be waited for
    covariance = torch.linalg.pinv((whitening.mH @ whitening).to(torch.complex128))
    sd = covariance.diagonal().real.clamp(min=0).sqrt()
    loudest, quietest = int(sd.argmax()), int(sd.argmin())
    ratio = float(sd[loudest] / sd[quietest])
    return (loudest, quietest, ratio) if ratio > UNEQUAL else None


def _with_least_noise(covariance: Tensor) -> Tensor:
    sd = covariance.diagonal().real.sqrt()
    sizes = torch.outer(sd, sd)
    return sizes * _matrix_function(covariance / sizes, lambda values: values.clamp(min=LEAST_NOISE))


def _matrix_function(matrix: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
    """Apply a function to the eigenvalues of a Hermitian matrix."""
    values, vectors = torch.linalg.eigh((matrix + matrix.mH) / 2)
    return (vectors * function(values)) @ vectors.mH
