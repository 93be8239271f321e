"""What a GRAPPA kernel that few calibration lines have taught is worth, asked of lines that were no part of its fit."""

from __future__ import annotations

import torch
from torch import Tensor

from kband_core.axes import check_axes
from kband_core.grappa import GrappaKernel, fill_lines
from kband_core.plural import counted
from kband_core.sampling import Grid

SAMPLES = 64  # along the readout, the central ones: beyond, there is little but noise
BESIDE_NOISE = 3.0  # times the noise of what is compared, added to the energy: what lies below it tells nothing


def n_window_rows(n_lines: int, acceleration: int, kernel: tuple[int, int]) -> int:
    """Count the rows of windows, of `kernel` (lines, samples), that so many calibration lines hold."""
    return n_lines - (kernel[0] - 1) * acceleration


def outer_misfit(kernel: GrappaKernel, kspace: Tensor, first: int, last: int, calibrating: slice) -> float:
    """Return which share of the energy of measured lines a kernel misses, beyond the rows that taught it.

    The kernel fills the gaps between the lines `first` to `last` of `kspace` `(coil, ky, kx)`, every R-th; the line
    behind each of them, which it has made, then stands for those that were measured, and it fills the gaps between
    such lines in turn. So measured lines are made again, by way of others: a kernel that is right for all of k-space
    finds what was measured, one that knows the centre only does not. Noise must have SD 1. What it leaves, told from
    noise that goes the same way, does not count. Raises `ValueError` if no line lies beyond the `calibrating` rows.
    """
    n = check_axes(kspace=(kspace, "coil ky kx"))
    reach, across = kernel.weights.shape[-2:]
    rows = torch.arange(first, last + 1, kernel.acceleration)
    inner = rows[reach - 1 : len(rows) - reach + 1]  # whose sources, and the sources of these, were all measured
    inner = inner[(inner < calibrating.start) | (inner >= calibrating.stop)]
    if len(inner) == 0:
        raise ValueError(f"outer misfit: none of {counted(len(rows), 'line')} lies beyond those that calibrate")
    middle, length = n["kx"] // 2, min(SAMPLES, n["kx"])
    central = kspace[..., middle - length // 2 : middle - length // 2 + length]
    noise = torch.randn(central.shape, dtype=central.dtype, generator=torch.Generator().manual_seed(0))
    measured = torch.stack([central, noise.to(central.device)])
    made = _filled(kernel, _filled(kernel, measured, rows), rows[:-1] + 1)
    wanted, found = (of[:, :, inner, across - 1 : length - across + 1] for of in (measured, made))
    sums = [part.abs().square().sum((1, 2, 3)) for part in (found - wanted, wanted)]
    (missed, left), (energy, by_noise) = torch.stack(sums).tolist()
    return max(missed - left, 0.0) / (max(energy - by_noise, 0.0) + BESIDE_NOISE * left)


def _filled(kernel: GrappaKernel, kspace: Tensor, rows: Tensor) -> Tensor:
    """K-space `(..., coil, ky, kx)` of which only the lines `rows` were measured, filled."""
    lines = torch.zeros(kspace.shape[-2], dtype=torch.bool)
    lines[rows] = True
    grid = Grid(lines[:, None]).to(kspace.device)
    return fill_lines(kernel, kspace * grid.mask, grid)
