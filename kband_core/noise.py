"""What the centre of k-space itself tells about the noise: its level, and how it is correlated between coils.

Windows of all coils hold signal in a few directions only (as in ESPIRiT, Uecker 2014) and noise in all.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor

from kband_core.axes import check_axes
from kband_core.fourier import resize
from kband_core.whitening import whitening_matrix

CENTRAL = 24  # lines, which calibration lines and every band contain
DIRECTIONS = 150  # most samples of a window, all coils counted: of them signal takes a few, noise all
MORE_DIRECTIONS = 200  # where the covariance is asked for
NARROWEST = 3  # samples of a window that can tell how noise is correlated: signal fills smaller ones
MOST_COILS = 32  # told together: windows of more take longer than calibration may
QUIETEST = 0.1  # of the directions in the space of windows, where of all that is measured the signal is least
EDGE = 1.3  # times the strongest direction of pure noise: above it there is signal
ROUNDS = 10  # in which the covariance settles
LEAST_NOISE = 1e-4  # of a combination of coils, in power, where each coil has 1
WHITE = 2.5  # times more noise power in one combination of coils than in another: white within what can be told
PARTITIONS = 8  # at most, spread over a slab, whose windows are looked at: the others cost as much and tell the same
TOGETHER = 128  # windows summed in single precision: behind a bright one, noise 100 times weaker would be rounded away
ROUNDING = 1e-6  # SD of noise over the strongest sample, below which it is that of numbers


def noise_level(kspace: Tensor, mask: Tensor) -> Tensor:
    """Estimate the SD of the complex noise of a sample of one coil from k-space `(..., coil, ky, kx)`; `(...)`.

    It is told from the energy of windows of the central 24 lines in their quietest directions, over that of pure noise
    of SD 1 in the same windows. White noise is assumed. They have up to 150 samples, less where few are acquired; of
    eight coils, 4 × 4. `mask` `(..., ky, kx)` or `(..., ky, 1)`; windows with holes do not count. Raises `ValueError`
    if nothing was acquired in the centre.
    """
    n = check_axes(kspace=(kspace, "... coil ky kx"))
    central = [min(CENTRAL, n["ky"]), n["kx"]]
    lines = resize(kspace, central)
    acquired = resize(mask.expand(*mask.shape[:-1], n["kx"]), central) & (lines != 0).any(-3)
    size, whole = _choose_windows(acquired, n["coil"], DIRECTIONS)
    if not whole.any(-1).all():
        raise ValueError("noise level: the centre of k-space holds no samples")
    shape, planes = lines.shape[-3:], whole.view(-1, whole.shape[-1])
    pure = [_noise_energies(shape, _as_bytes(one), size, lines.dtype) for one in planes]
    least = _quietest(torch.stack(pure)).to(lines.device).view(whole.shape[:-1])
    return (_quietest(_energies(lines, whole, size)) / least).sqrt().to(lines.real.dtype)


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
    most = max(MORE_DIRECTIONS, n["coil"] * NARROWEST**2)
    size, whole = _choose_windows((lines != 0).any(-3), n["coil"], most)
    if size < NARROWEST:
        raise ValueError(
            f"noise of {n['coil']} coils cannot be told from {lines.shape[-2]} calibration lines of {n['kx']} samples: "
            f"windows of {NARROWEST} × {NARROWEST} needed, twice as many as have samples in all coils"
        )
    n_directions = n["coil"] * size**2
    gram = _grams(lines, whole, size).sum(0) / whole.sum()
    pure = _noise_energies(lines.shape[-3:], _as_bytes(whole[whole.sum(-1).argmax()]), size, lines.dtype)
    gram = gram + (0.01 * ROUNDING * float(lines.abs().max())) ** 2 * torch.eye(n_directions, dtype=gram.dtype)
    blocks = torch.linalg.inv(gram).unflatten(-1, (n["coil"], -1)).unflatten(-3, (n["coil"], -1))
    covariance = _with_least_noise(torch.linalg.inv(torch.einsum("apbp->ab", blocks)) * size**2)
    within = torch.eye(size**2, dtype=gram.dtype)
    n_quietest = round(QUIETEST * n_directions)
    for _ in range(ROUNDS):
        factor = torch.linalg.cholesky(covariance)
        whiten = torch.kron(torch.linalg.inv(factor).contiguous(), within)
        energies, directions = torch.linalg.eigh(whiten @ gram @ whiten.mH)
        level = energies[:n_quietest].mean() / pure[:n_quietest].mean()
        n_quiet = max(int((energies < EDGE * level * pure[-1]).sum()), n_directions // 4, n["coil"])
        parts = directions[:, :n_quiet].reshape(n["coil"], size**2, n_quiet)
        seen = torch.einsum("apn,bpn->ab", parts, parts.conj())
        found = torch.einsum("apn,bpn->ab", parts * energies[:n_quiet], parts.conj())
        inverse_root = _matrix_function(seen, lambda values: values.clamp(min=1e-6).rsqrt())
        covariance = _with_least_noise(factor @ inverse_root @ found @ inverse_root @ factor.mH)
        if is_white(covariance):
            break
    return covariance


def strongest_noise(energies: Tensor, shape: tuple[int, int, int], size: int) -> Tensor:
    """Return the most energy that noise has in any direction, told from the quietest directions; `(..., 1)`.

    `energies` `(..., direction)`, rising, are those of all windows of size × size samples of lines of `shape` `(coil,
    ky, kx)`.
    """
    _, n_lines, n_samples = shape
    whole = torch.ones((n_lines - size + 1) * (n_samples - size + 1), dtype=torch.bool)
    pure = _noise_energies(shape, _as_bytes(whole), size, torch.complex64).to(energies)
    return EDGE * (_quietest(energies) / _quietest(pure)).unsqueeze(-1) * pure[-1]


def is_white(covariance: Tensor) -> bool:
    """Whether noise of this covariance is equal and uncorrelated, as far as calibration lines can tell."""
    powers = torch.linalg.eigvalsh(covariance)
    return bool(powers[-1] < WHITE * powers[0])


def calibration_whitening(acs: Tensor) -> Tensor:
    """Return the matrix that whitens coils by the noise of their calibration lines; noise then has SD 1 in each.

    Where noise is white already, as far as that can be told, and where its covariance cannot be told, from too few
    samples, coils are scaled alike; so they are where there is no noise, as in simulations: to that of rounding.

    `acs` `(z, coil, ky, kx)`; returns `(coil, coil)` in complex64.
    """
    as_it_is = torch.eye(acs.shape[-3], dtype=acs.dtype, device=acs.device)
    least = ROUNDING * float(acs.abs().max())
    try:
        covariance = calibration_noise(acs)
        level = float(covariance.diagonal().real.mean().sqrt())
        if level < least or is_white(covariance):
            return as_it_is / max(level, least)
        return whitening_matrix(covariance).to(acs.device)
    except (ValueError, torch.linalg.LinAlgError):
        level = float(noise_level(acs, torch.ones_like(acs[:, 0], dtype=torch.bool)).square().mean().sqrt())
        return as_it_is / max(level, least)


def _with_least_noise(covariance: Tensor) -> Tensor:
    sd = covariance.diagonal().real.sqrt()
    sizes = torch.outer(sd, sd)
    return sizes * _matrix_function(covariance / sizes, lambda values: values.clamp(min=LEAST_NOISE))


def _matrix_function(matrix: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
    """Apply a function to the eigenvalues of a Hermitian matrix."""
    values, vectors = torch.linalg.eigh((matrix + matrix.mH) / 2)
    return (vectors * function(values)) @ vectors.mH


def _choose_windows(acquired: Tensor, n_coils: int, most: int) -> tuple[int, Tensor]:
    """Return how many samples wide windows may be that there are enough of them, and which ones have no holes."""
    widest = min(max(math.isqrt(most // n_coils), 1), *acquired.shape[-2:])
    for size in range(widest, 0, -1):
        whole = _windows(acquired.unsqueeze(-3), size).all(-1)
        if int(whole.sum(-1).min()) >= 2 * n_coils * size**2:
            break
    return size, whole


@lru_cache(maxsize=32)
def _noise_energies(shape: tuple[int, int, int], whole: bytes, size: int, dtype: torch.dtype) -> Tensor:
    """Return the energies of windows of lines `(coil, ky, kx)` of nothing but noise of SD 1, as `_energies` does."""
    noise = torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(0))
    return _energies(noise, torch.frombuffer(bytearray(whole), dtype=torch.bool), size)


def _as_bytes(whole: Tensor) -> bytes:
    return whole.cpu().numpy().tobytes()


def _energies(lines: Tensor, whole: Tensor, size: int) -> Tensor:
    """Return the mean energies of windows `whole` `(..., window)` of `(..., coil, ky, kx)` by direction, rising."""
    energies = torch.linalg.eigvalsh(_grams(lines, whole, size)).clamp(min=0)
    return energies.view(*lines.shape[:-3], -1) / whole.sum(-1, keepdim=True)


def _quietest(energies: Tensor) -> Tensor:
    return energies[..., : max(round(QUIETEST * energies.shape[-1]), 1)].mean(-1)


def _grams(lines: Tensor, whole: Tensor, size: int) -> Tensor:
    """Return Σ w wᴴ over the windows `whole` of each plane of `(..., coil, ky, kx)`: complex128, `(plane, n, n)`."""
    whole = whole.expand(*lines.shape[:-3], -1)
    grams = [  # plane by plane: windows take far more memory than what they are made of
        sum((part.mT @ part.conj()).to(torch.complex128) for part in windows.split(TOGETHER))
        for plane, counted in zip(lines.reshape(-1, *lines.shape[-3:]), whole.reshape(-1, whole.shape[-1]), strict=True)
        for windows in [_windows(plane, size) * counted.unsqueeze(-1)]
    ]
    return torch.stack(grams)


def _windows(lines: Tensor, size: int) -> Tensor:
    """All windows of `(..., coil, ky, kx)`, overlapping, as rows: `(..., window, coil·size²)`."""
    windows = lines.unfold(-2, size, 1).unfold(-2, size, 1)  # (..., coil, y, x, size, size)
    return windows.movedim(-5, -3).flatten(-3).flatten(-3, -2)
