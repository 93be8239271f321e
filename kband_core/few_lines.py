"""What a GRAPPA kernel that few calibration lines have taught is worth, asked of lines that were no part of its fit."""

from __future__ import annotations

from torch import Tensor

from kband_core.axes import check_axes
from kband_core.footprint import balanced_energy, calibration_columns, calibration_targets
from kband_core.solvers import ridge


def n_window_rows(n_lines: int, acceleration: int, kernel: tuple[int, int]) -> int:
    """Count the rows of windows, of `kernel` (lines, samples), that so many calibration lines hold."""
    return n_lines - (kernel[0] - 1) * acceleration


def held_out_misfit(acs: Tensor, acceleration: int, kernel: tuple[int, int], regularisation: float = 1e-4) -> float:
    """Return which share of the energy of lines a kernel misses that was fitted without them.

    Each row of windows of the calibration lines `(coil, ky, kx)` is left out in turn, and predicted by the others.
    Windows count alike, as in the fit that is best for outer k-space. Noise, which must be white with SD 1, does not
    count, neither that of the targets nor what passes the kernel; what noise did to the fit does. Raises `ValueError`
    if there are fewer than two rows.
    """
    check_axes(acs=(acs, "coil ky kx"))
    n_rows = n_window_rows(acs.shape[-2], acceleration, kernel)
    if n_rows < 2:
        raise ValueError(f"held-out misfit: {n_rows} rows of windows, at least 2 needed to leave one out")
    columns = calibration_columns(acs, acceleration, kernel)
    targets = calibration_targets(acs, acceleration, kernel, acceleration - 1)
    scale = balanced_energy(columns).rsqrt()
    columns, targets = columns * scale, targets * scale
    missed = energy = 0.0
    for row in range(n_rows):
        others = [number for number in range(n_rows) if number != row]
        fitted, wanted = (of[..., others, :].flatten(-2) for of in (columns, targets))
        weights = ridge("held-out misfit", fitted, wanted, regularisation=regularisation)
        difference = weights @ columns[..., row, :] - targets[..., row, :]
        noise = scale[..., row, :].square().sum() * len(targets)
        by_kernel = float(weights.abs().square().sum()) / len(targets)
        missed += float(difference.abs().square().sum() - (1 + by_kernel) * noise)
        energy += float(targets[..., row, :].abs().square().sum() - noise)
    return max(missed, 0.0) / energy if energy > 0 else 1.0
