"""Where a network and GRAPPA disagree by more than GRAPPA errs, the image lies between the two: shrinkage."""

from __future__ import annotations

import torch
from torch import Tensor

from kband_core.axes import check_axes
from kband_core.coils import combine
from kband_core.fourier import to_image
from kband_core.grappa import GrappaKernel, apply_grappa
from kband_core.operators import predicted_kspace
from kband_core.sampling import Grid

CONSISTENT = 1.1  # times the energy of noise, 5 % in SD: what an image may miss of acquired lines


def move_towards_grappa(
    image: Tensor, kspace: Tensor, sampling: Grid, csm: Tensor, kernel: GrappaKernel, noise: Tensor
) -> tuple[Tensor, float]:
    """Move a network's image `(y, x)` towards GRAPPA's, as far as errors of GRAPPA do not explain their difference.

    D is what GRAPPA fills into the lines that were not acquired, less what the image predicts there, coils combined. If
    the network were right, ‖D‖² would be the error E of the former. Returned are the image plus s·D, and the share
    s = max(0, 1 − E/‖D‖²): GRAPPA, shrunk towards the network. E is the noise of SD `noise` that passes the kernel, one
    draw of it, and what the kernel misses beyond noise of the calibration lines between those of the grid, as a part
    of their energy, times the energy that the image predicts for the lines filled. Further out a kernel may miss more,
    so that an image which explains the acquired lines to within noise stays as it is, whatever GRAPPA says.

    `kspace` `(coil, ky, kx)`, `sampling` on a uniform grid but for calibration lines, `csm` `(1, coil, y, x)`. Raises
    `ValueError` if lines of the grid are missing.

    James and Stein, Proc. 4th Berkeley Symp. 1:361 (1961), about an arbitrary centre.
    """
    check_axes(kspace=(kspace, "coil ky kx"), csm=(csm, "set coil y x"))
    first, last = sampling.uniform_ends("move_towards_grappa", kernel.acceleration)
    lines = sampling.lines()[:, None]
    grid = torch.zeros_like(lines)
    grid[first : last + 1 : kernel.acceleration] = True
    predicted = predicted_kspace(image.unsqueeze(-3), csm)
    if _is_consistent(kspace - predicted, sampling.lines(), csm, noise):
        return image, 0.0
    from_grid = apply_grappa(kernel, kspace * grid, Grid(grid))
    rng = torch.Generator().manual_seed(0)
    drawn = noise * torch.randn(kspace.shape, dtype=kspace.dtype, generator=rng).to(kspace.device)
    amplified = apply_grappa(kernel, drawn * grid, Grid(grid))
    reached = (amplified != 0).any(-1, keepdim=True).any(-3)
    filled, known = reached & ~lines, reached & lines & ~grid

    misfit = _energy((from_grid - kspace) * known) - _energy((amplified - drawn) * known)
    calibration = _energy(kspace * known)
    share_missed = max(0.0, misfit / calibration) if calibration else 0.0
    difference, by_noise, signal = (
        combine(to_image(part * filled), csm)[0] for part in (from_grid - predicted, amplified, predicted)
    )
    disagreement = _energy(difference)
    error = _energy(by_noise) + share_missed * _energy(signal)
    share = max(0.0, 1 - error / disagreement) if disagreement else 0.0
    return image + share * difference, share


def _is_consistent(missed: Tensor, lines: Tensor, csm: Tensor, noise: Tensor) -> bool:
    """Whether noise explains what an image misses of the lines without acquired neighbours, in k-space `missed`.

    An image has as many unknowns as pixels with maps: noise that they can follow is not missed.
    """
    alone = lines & ~lines.roll(1) & ~lines.roll(-1)
    n_coils, _, n_samples = missed.shape
    n_unknown, n_measured = int((csm != 0).any(-3).sum()), n_coils * n_samples * int(lines.sum())
    left = max(0.0, 1 - n_unknown / n_measured)
    expected = float(noise) ** 2 * left * n_coils * n_samples * int(alone.sum())
    return _energy(missed[:, alone]) <= CONSISTENT * expected


def _energy(values: Tensor) -> float:
    return float(values.abs().square().sum())
