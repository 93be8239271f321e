"""Estimate coil sensitivities from the fully sampled centre of k-space (the auto-calibration signal, ACS)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from kband_core.axes import check_axes
from kband_core.eigenmaps import align_phase, dominant_eigenvectors, interpolate_eigenvectors, principal_coil
from kband_core.fourier import resize, to_image
from kband_core.noise_windows import strongest_noise, strongest_of_noise, window_gram
from kband_core.plural import counted
from kband_core.sampling import runs

FEWEST_SAMPLES, MOST_SAMPLES = 24, 96  # along the readout of calibration lines
KERNEL = 6  # samples across a window
THRESHOLD = 0.02  # of the largest singular value of windows: below it is no signal
CROP = 0.8  # eigenvalue below which there is no object, or no second one
CERTAIN = 0.5  # of a coil vector's energy lies in what windows hold of signal: noise in low-SNR tissue leaves so much
WRAPPED = 0.002  # of the calibration's energy in a second set: heads that fit have at most half of it
FEWEST_COILS = 4  # that can tell two objects in one pixel, and lines that were left out besides


@dataclass(frozen=True)
class CoilMaps:
    """Coil maps of a scan, and where they are certain.

    csm      complex64 (..., set, coil, y, x), |·|² sums to 1 over coils; the first set exists everywhere, in air too, a
             second one only where two objects fold onto one pixel
    support  bool (..., y, x), where the calibration lines leave no doubt about the first set
    """

    csm: Tensor
    support: Tensor

    def certain(self) -> Tensor:
        """Return the maps, zero where they are not certain: what confines a reconstruction to the object."""
        return self.csm * self.support[..., None, None, :, :]


def find_acs(mask: Tensor) -> slice:
    """Find the contiguous block of acquired lines that holds the k-space centre N//2.

    If the centre was not acquired it is the longest block, and empty if nothing was. mask `(ky,)` bool.
    """
    blocks = runs(mask)
    if not blocks:
        return slice(0, 0)
    centre = len(mask) // 2
    return slice(*max(blocks, key=lambda block: (block[0] <= centre < block[1], block[1] - block[0])))


def espirit_maps(
    acs: Tensor,
    shape: Sequence[int],
    *,
    n_sets: int = 1,
    kernel: int = KERNEL,
    threshold: float = THRESHOLD,
    crop: float = CROP,
    eigen_grid: int | None = 64,
    above_noise: bool = False,
) -> Tensor:
    """Estimate coil maps as the eigenvectors, with eigenvalue 1, of what every calibration window obeys (ESPIRiT).

    All windows of `kernel`² samples lie in a subspace: the singular vectors above `threshold` times the largest.
    Projection onto it is, pixel by pixel, a coil-by-coil matrix H(r); where H(r) s = s, s is the coil vector. A
    second set passes `crop` only where two objects fold onto one pixel, as in a wrapped field of view. Maps are zero
    where the eigenvalue is below `crop`; elsewhere their |·|² sums to 1 over coils, and their phase is relative
    to the principal virtual coil.

    H(r) has only 2·kernel − 1 Fourier coefficients per axis, so its eigenvectors are found on a grid of `eigen_grid`
    points per axis and interpolated. None takes every pixel: ten times slower, it is there to check the
    interpolation, which changes the maps by 0.2 % rms at most in measured heads.

    As many readout samples are used as there are lines, or 24 if that is more. With `above_noise`, 96 where that makes
    twice as many windows as a window has samples of all coils: then noise can be told from the weakest singular
    vectors, and none is taken for signal that noise could have made.

    acs `(..., coil, ky, kx)`, of any extent, same field of view as the image → `(..., set, coil, *shape)`.

    Uecker et al., MRM 71:990 (2014).
    """
    if n_sets not in (1, 2):
        raise ValueError(f"espirit_maps: {n_sets} sets of maps asked for, 1 or 2 possible")
    acs, above_noise = _espirit_samples(acs, kernel, above_noise)
    grid = _grid(shape, kernel, eigen_grid)
    values, vectors = dominant_eigenvectors(_window_projection(acs, kernel, threshold, grid, above_noise), n_sets)
    values, vectors = _resampled(values, vectors, shape)
    return _as_maps(vectors, acs) * (values >= crop).movedim(-1, -3).unsqueeze(-3)


def coil_maps(
    acs: Tensor, shape: Sequence[int], *, eigen_grid: int = 64, noise: Tensor | None = None
) -> CoilMaps:
    """Estimate ESPIRiT maps, in as many sets as calibration lines show to be needed, and where they are certain.

    A second set is needed where a field of view wraps: two objects, seen by different coils, fold onto one pixel. Then
    the second eigenvalue is 1 there, and its vector holds 0.2 % of the energy of the calibration lines or more. Of a
    batch of slices all get two sets if one needs them.

    acs `(..., coil, ky, kx)` and shape as in `espirit_maps`, of which these are the maps `above_noise`. `noise`, the SD
    of a sample, tells noise where windows are too few for that, as in planes (kz, ky), some of which hold nothing else.
    """
    peak = acs.abs().amax(dim=(-3, -2, -1))
    acs, above_noise = _espirit_samples(acs, KERNEL, above_noise=noise is None)
    noise_energy = None if noise is None else strongest_of_noise(acs.shape[-3:], KERNEL) * (noise / peak).square()
    grid = _grid(shape, KERNEL, eigen_grid)
    n_sets = 2 if acs.shape[-3] >= FEWEST_COILS else 1
    projection = _window_projection(acs, KERNEL, THRESHOLD, grid, above_noise, noise_energy)
    values, vectors = dominant_eigenvectors(projection, n_sets)
    if n_sets == 2 and not _second_share(values, vectors, acs, grid).gt(WRAPPED).any():
        values, vectors = values[..., :1], vectors[..., :1]
    values, vectors = _resampled(values, vectors, shape)
    exists = values >= CROP
    exists[..., 0] = True
    return CoilMaps(_as_maps(vectors, acs) * exists.movedim(-1, -3).unsqueeze(-3), values[..., 0] >= CERTAIN)


def walsh_maps(acs: Tensor, shape: Sequence[int], *, eigen_grid: int = 64) -> Tensor:
    """Estimate coil maps as the strongest local coil combination of low-resolution images.

    The images are those of the ACS under a Hann window; the covariance is averaged over 3 × 3 points of a grid of
    `eigen_grid` points per axis. Maps exist everywhere, also in air; their |·|² sums to 1 over coils.

    acs `(..., coil, ky, kx)`, same field of view as the image → `(..., 1, coil, *shape)`.

    Walsh, Gmitro and Marcellin, MRM 43:682 (2000).
    """
    acs = _central_samples("walsh_maps", acs, shortest=1)
    grid = [max(min(eigen_grid, length), size) for length, size in zip(shape, acs.shape[-2:], strict=True)]
    image = to_image(resize(acs * torch.outer(*(_hann(size, acs.device) for size in acs.shape[-2:])), grid))
    for dim, length in zip((-2, -1), grid, strict=True):
        around = torch.arange(-1, length + 1, device=acs.device) % length
        image = image.index_select(dim, around)
    local = image.unfold(-2, 3, 1).unfold(-2, 3, 1).movedim(-5, -3).flatten(-2)  # (..., y, x, coil, 9)
    _, vectors = interpolate_eigenvectors(*dominant_eigenvectors(local @ local.mH, n_sets=1), shape)
    return torch.einsum("...yxcs->...scyx", align_phase(vectors, principal_coil(acs))).contiguous()


def _espirit_samples(acs: Tensor, kernel: int, above_noise: bool) -> tuple[Tensor, bool]:
    """Return the samples that windows are cut from, and whether there are enough to tell noise from signal."""
    n_lines, n_samples = acs.shape[-2:]
    along = min(n_samples, max(n_lines, MOST_SAMPLES))
    n_windows = max(n_lines - kernel + 1, 0) * max(along - kernel + 1, 0)
    above_noise = above_noise and n_windows >= 2 * acs.shape[-3] * kernel**2
    longest = MOST_SAMPLES if above_noise else FEWEST_SAMPLES
    return _central_samples("espirit_maps", acs, shortest=kernel, longest=longest), above_noise


def _grid(shape: Sequence[int], kernel: int, eigen_grid: int | None) -> list[int]:
    shortest = 2 * kernel - 1  # below it H(r) itself is undersampled
    return [max(min(eigen_grid or length, length), shortest) for length in shape]


def _resampled(values: Tensor, vectors: Tensor, shape: Sequence[int]) -> tuple[Tensor, Tensor]:
    same = list(values.shape[-3:-1]) == list(shape)
    return (values, vectors) if same else interpolate_eigenvectors(values, vectors, shape)


def _as_maps(vectors: Tensor, acs: Tensor) -> Tensor:
    return torch.einsum("...yxcs->...scyx", align_phase(vectors, principal_coil(acs))).contiguous()


def _second_share(values: Tensor, vectors: Tensor, acs: Tensor, grid: Sequence[int]) -> Tensor:
    """Share `(...)` of the energy of the calibration lines that the second vector holds where its eigenvalue is 1."""
    image = to_image(resize(acs, grid))
    second = torch.einsum("...yxc,...cyx->...yx", vectors[..., 1].conj(), image).abs().square()
    return (second * (values[..., 1] >= CROP)).sum((-2, -1)) / image.abs().square().sum((-3, -2, -1))


def _central_samples(who: str, acs: Tensor, shortest: int, longest: int = FEWEST_SAMPLES) -> Tensor:
    """Check the ACS, keep as many readout samples as there are lines, or `longest`, and scale them to about 1."""
    check_axes(acs=(acs, "... coil ky kx"))
    n_lines, n_samples = acs.shape[-2:]
    if min(n_lines, n_samples) < shortest:
        raise ValueError(
            f"{who}: {counted(n_lines, 'calibration line')} of {counted(n_samples, 'sample')}, {shortest} of each "
            "needed"
        )
    acs = resize(acs, [min(n_samples, max(n_lines, longest))], dims=[-1])
    peak = acs.abs().amax(dim=(-3, -2, -1), keepdim=True)
    n_broken, n_empty = torch.stack([(~torch.isfinite(acs)).sum(), (peak == 0).sum()]).tolist()
    if n_broken:
        raise ValueError(f"{who}: {n_broken} of {acs.numel()} calibration samples are not finite")
    if n_empty:
        of_all = counted(peak.numel(), "slice has", "slices have")
        raise ValueError(f"{who}: {n_empty} of {of_all} only zeros in the calibration lines")
    return acs / peak


def _window_projection(
    acs: Tensor, kernel: int, threshold: float, grid: Sequence[int], above_noise: bool, noise: Tensor | None = None
) -> Tensor:
    """Project the windows of `acs` onto their signal subspace, as one matrix per grid point: `(..., y, x, coil, coil)`.

    With P the projection on windows, entries P[(c,u), (c',u')] depend in image space on the lag u − u' only:
    H(r) = kernel⁻² Σ P e^{+i(u−u')r}. P follows from the smaller of WWᴴ and WᴴW, W having windows as columns. What has
    no more energy than `noise` `(...)` is no signal.
    """
    n_coils, n_lines, n_samples = acs.shape[-3:]
    wide = (n_lines - kernel + 1) * (n_samples - kernel + 1) > n_coils * kernel**2
    if wide:
        energies, basis = torch.linalg.eigh(window_gram(acs, kernel, acs.dtype))
    else:
        windows = acs.unfold(-2, kernel, 1).unfold(-2, kernel, 1).flatten(-4, -3).movedim(-3, -1).flatten(-4, -2)
        energies, basis = torch.linalg.eigh(windows.mH @ windows)
    is_signal = energies > threshold**2 * energies[..., -1:]
    if above_noise:
        is_signal &= energies > strongest_noise(energies, acs.shape[-3:], kernel)
    if noise is not None:
        is_signal &= energies > noise.unsqueeze(-1)
        is_signal[..., -1] = True  # of noise alone: maps exist everywhere
    if not wide:
        basis = windows @ (basis / energies.clamp(min=torch.finfo(energies.dtype).tiny).sqrt().unsqueeze(-2))
    basis = basis * is_signal.unsqueeze(-2)
    projection = (basis @ basis.mH).unflatten(-1, (n_coils, -1)).unflatten(-3, (n_coils, -1))  # (..., c, u, c', u')

    step = torch.arange(kernel, device=acs.device)
    lag = (step.unsqueeze(-1) - step) + kernel - 1  # (u, u'), 0 … 2·kernel − 2
    span = 2 * kernel - 1
    lag = (lag[:, None, :, None] * span + lag[None, :, None, :]).flatten()  # (uy, ux, uy', ux')
    projection = torch.einsum("...cudv->...uvcd", projection).flatten(-4, -3)
    by_lag = projection.new_zeros(*projection.shape[:-3], span**2, n_coils, n_coils).index_add_(-3, lag, projection)
    spectrum = torch.einsum("...lcd->...cdl", by_lag).unflatten(-1, (span, span))
    operator = to_image(resize(spectrum, grid)) * ((grid[0] * grid[1]) ** 0.5 / kernel**2)
    return torch.einsum("...cdyx->...yxcd", operator).contiguous()


def _hann(size: int, device: torch.device) -> Tensor:
    """Hann window whose top is the k-space centre, size//2; no sample is lost to a zero at the ends."""
    distance = torch.arange(size, device=device) - size // 2
    return torch.cos(distance * (torch.pi / 2 / (size // 2 + 1))) ** 2
