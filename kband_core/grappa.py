"""Fill the lines that parallel imaging left out with GRAPPA."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from kband_core.axes import check_axes, check_finite
from kband_core.device import send
from kband_core.footprint import as_columns, balanced_energy, calibration_columns, calibration_targets, check_window
from kband_core.plural import counted
from kband_core.sampling import Grid
from kband_core.solvers import ridge


@dataclass(frozen=True)
class GrappaKernel:
    """Weights that make the `acceleration` − 1 lines of a gap from the acquired lines around it.

    weights `(..., target line, target coil, coil, source line, sample)`: source lines are `acceleration` apart, as many
    before the gap as after it (one more before it if their number is odd); samples are centred on the target's.
    """

    weights: Tensor

    @property
    def acceleration(self) -> int:
        return self.weights.shape[-5] + 1

    @property
    def n_lines_before(self) -> int:
        return _n_lines_before(self.weights.shape[-2])


def calibrate_grappa(
    acs: Tensor,
    acceleration: int,
    *,
    kernel: tuple[int, int] = (2, 5),
    regularisation: float = 1e-4,
    windows: Literal["equal", "balanced"] = "balanced",
) -> GrappaKernel:
    """Fit the GRAPPA weights to every window of the calibration lines.

    W minimises Σ ‖t − W s‖² + λ‖W‖² over the windows' sources s and targets t, where they count equally: best where
    the kernel fills the centre, too, because the calibration lines are not the image's. "balanced", each is divided by
    ‖s‖² + 0.1 mean ‖s‖², without which the windows at the k-space centre, far stronger than all others, would decide
    alone: best where the centre is measured. λ is `regularisation` times the mean of the diagonal of the normal matrix.
    `kernel` counts source lines and readout samples: with only two source lines, 24 calibration lines hold windows
    enough even at R = 4.

    acs `(..., coil, ky, kx)`; leading axes get weights of their own.

    Griswold et al., MRM 47:1202 (2002).
    """
    n_coils = check_axes(acs=(acs, "... coil ky kx"))["coil"]
    n_lines, n_samples = kernel
    if acceleration < 1 or n_lines < 2 or n_samples < 1:
        raise ValueError(
            f"calibrate_grappa: R={acceleration} with a kernel of {counted(n_lines, 'line')} × "
            f"{counted(n_samples, 'sample')}, "
            "at least R=1 with 2 × 1 needed"
        )
    check_window("calibrate_grappa", acs, acceleration, n_lines=n_lines, n_samples=n_samples)
    columns = calibration_columns(acs, acceleration, kernel)
    targets = calibration_targets(acs, acceleration, kernel, acceleration - 1)  # (..., coil·line, window, kx)
    targets = targets.unflatten(-3, (n_coils, acceleration - 1)).transpose(-4, -3).flatten(-4, -3)
    if windows == "balanced":
        scale = balanced_energy(columns).rsqrt()
        columns, targets = columns * scale, targets * scale
    weights = ridge("calibrate_grappa", columns.flatten(-2), targets.flatten(-2), regularisation=regularisation)
    weights = weights.unflatten(-1, (n_coils, n_lines, n_samples))
    return GrappaKernel(weights.unflatten(-4, (acceleration - 1, n_coils)))


def apply_grappa(kernel: GrappaKernel, kspace: Tensor, sampling: Grid) -> Tensor:
    """Fill every missing line between the acquired ones, and the gap beyond the first and the last of them.

    Measured lines are kept. Sources outside the acquired grid count as zero; lines further out than one gap stay as
    they are, so partial Fourier sampling remains partial.

    kspace `(..., coil, ky, kx)`, its leading axes those of the kernel or broadcast with them; sampling: every R-th
    line, from any first line, plus any others. Raises `ValueError` for others, and if a sample is not finite.
    """
    check_finite("apply_grappa", kspace)
    return fill_lines(kernel, kspace, sampling)


def fill_lines(kernel: GrappaKernel, kspace: Tensor, sampling: Grid) -> Tensor:
    """Do what `apply_grappa` does to samples known to be finite, as are all that a scan has let in: a GPU is not waited
    for."""
    n_coils = kernel.weights.shape[-3]
    mask = sampling.here().lines().cpu()
    lengths = check_axes(kspace=(kspace, "... coil ky kx"), sampling=(mask, "ky"))
    if lengths["coil"] != n_coils:
        raise ValueError(f"apply_grappa: the kernel has {counted(n_coils, 'coil')}, but kspace has {lengths['coil']}")
    acceleration = kernel.acceleration
    first, last = sampling.uniform_ends("apply_grappa", acceleration)
    n_lines, n_samples = kernel.weights.shape[-2:]
    before, middle = kernel.n_lines_before, n_samples // 2
    sources = torch.nn.functional.pad(
        kspace[..., first : last + 1 : acceleration, :],
        (middle, n_samples - 1 - middle, before, n_lines - before),
    )
    columns = as_columns(sources.unfold(-2, n_lines, 1).unfold(-2, n_samples, 1))
    filled = kernel.weights.flatten(-5, -4).flatten(-3) @ columns
    filled = filled.unflatten(-2, (acceleration - 1, n_coils)).unflatten(-1, (-1, lengths["kx"]))
    filled = filled.movedim(-4, -2).flatten(-3, -2)  # (..., coil, gap·target line, kx)

    origin = first - (acceleration - 1)  # first line of the gap before the grid
    lines = torch.arange(max(origin, 0), min(last + acceleration, lengths["ky"]))
    lines = lines[~mask[lines]]
    position = (lines - origin) // acceleration * (acceleration - 1) + (lines - origin) % acceleration
    result = kspace.expand(*filled.shape[:-3], *kspace.shape[-3:]).clone()
    lines, position = (send(index, kspace.device) for index in (lines, position))
    return result.index_copy_(-2, lines, filled.index_select(-2, position))


def kernel_misfit(kernel: GrappaKernel, acs: Tensor) -> float:
    """Return which share of the energy of lines it fills a kernel misses, told from calibration lines.

    Every grid of the lines `(coil, ky, kx)` fills those between; the noise of these, and what passes the kernel, does
    not count. It must be white with SD 1.
    """
    missed = energy = torch.zeros((), dtype=torch.float64, device=acs.device)
    gain = kernel.weights.abs().square().sum().double()
    by_noise = 1 + gain / (kernel.weights.shape[-5] * kernel.weights.shape[-4])
    for first in range(kernel.acceleration):
        lines = torch.zeros(acs.shape[-2], dtype=torch.bool)
        lines[first :: kernel.acceleration] = True
        between = ~lines
        between[:first] = between[int(lines.nonzero()[-1]) :] = False
        between = send(between.nonzero().flatten(), acs.device)
        target = acs[:, between]
        grid = Grid(lines[:, None]).to(acs.device)
        difference = fill_lines(kernel, acs * grid.mask, grid)[:, between] - target
        missed = missed + difference.abs().square().sum().double() - by_noise * target.numel()
        energy = energy + target.abs().square().sum().double()
    missed, energy = torch.stack([missed, energy]).tolist()
    return max(0.0, missed / energy) if energy else 0.0


def _n_lines_before(n_lines: int) -> int:
    return (n_lines + 1) // 2
