"""Which samples a kernel of GRAPPA or RAKI sees: columns of a matrix, from acquired lines or from the ACS."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from kband_core.axes import check_axes, check_finite
from kband_core.plural import counted


def circular_columns(lines: Tensor, n_lines: int, n_samples: int) -> Tensor:
    """Columns `(..., channel·line·sample, group·kx)` of what a kernel sees of `(..., channel, group, kx)`.

    Both axes wrap around. The taps of `n_lines` lines lie around the gap behind their group, for two lines at g and
    g+1; an odd one comes before it. Samples are centred.
    """
    if n_lines == n_samples == 1:
        return lines.flatten(-2)
    for dim, taps, before in ((-2, n_lines, (n_lines - 1) // 2), (-1, n_samples, n_samples // 2)):
        if taps > 1:
            length = lines.shape[dim]
            index = torch.arange(-before, length + taps - 1 - before, device=lines.device) % length
            lines = lines.index_select(dim, index)
    return as_columns(lines.unfold(-2, n_lines, 1).unfold(-2, n_samples, 1))


def calibration_columns(acs: Tensor, acceleration: int, kernel: tuple[int, int]) -> Tensor:
    """Columns `(..., coil·line·sample, window, kx)` of every window of the ACS whose lines are `acceleration` apart.

    No wrapping: of `kernel` (lines, samples), A lines hold A − (lines − 1)·R windows, Q samples Q − samples + 1.
    """
    n_lines, n_samples = kernel
    windows = acs.unfold(-2, (n_lines - 1) * acceleration + 1, 1).unfold(-2, n_samples, 1)
    columns = as_columns(windows[..., ::acceleration, :])
    return columns.unflatten(-1, windows.shape[-4:-2])


def calibration_targets(
    acs: Tensor, acceleration: int, kernel: tuple[int, int], n_offsets: int, *, later: Sequence[int] = ()
) -> Tensor:
    """Lines `(..., coil·offset, window, kx)` that the windows of `calibration_columns` should predict.

    Only samples that `kernel` and, behind it, kernels of `later` samples reach without wrapping.
    """
    windows = acs.unfold(-2, (kernel[0] - 1) * acceleration + 1, 1)  # (..., coil, window, kx, line)
    gap = (kernel[0] - 1) // 2 * acceleration + 1
    targets = windows[..., gap : gap + n_offsets].movedim(-1, -3).flatten(-4, -3)
    return crop_samples(targets, (kernel[1], *later))


def crop_samples(columns: Tensor, later: Sequence[int]) -> Tensor:
    """Keep the samples `(..., kx)` on which later kernels of so many samples are centred."""
    first = sum(n_samples // 2 for n_samples in later)
    n_lost = sum(n_samples - 1 for n_samples in later)
    return columns[..., first : columns.shape[-1] - n_lost + first]


def balancing_weights(columns: Tensor) -> Tensor:
    """Weight each of the windows `(..., in, window, kx)` by the inverse of its `balanced_energy`; mean 1.

    Without it the windows at the k-space centre, far stronger than all others, decide alone.
    """
    weights = 1 / balanced_energy(columns)
    return weights / weights.mean((-2, -1), keepdim=True)


def balanced_energy(columns: Tensor) -> Tensor:
    """Return ‖s‖² + 0.1 mean ‖s‖² of the sources s of each window `(..., in, window, kx)`; `(..., 1, window, kx)`.

    Windows divided by it count alike, those at the k-space centre as those further out, but for windows ten times
    weaker than the mean, which hold more noise than signal.
    """
    energy = columns.abs().square().sum(-3, keepdim=True)
    return (energy + 0.1 * energy.mean((-2, -1), keepdim=True)).clamp(min=torch.finfo(energy.dtype).tiny)


def as_columns(windows: Tensor) -> Tensor:
    """Windows `(..., channel, group, kx, line, sample)` as columns `(..., channel·line·sample, group·kx)`."""
    return windows.movedim((-2, -1), (-4, -3)).flatten(-2).flatten(-4, -2)


def normalised(acs: Tensor) -> Tensor:
    """Divide the samples of each slice by their root mean square: f(c·x) = c·f(x), so no factor has to be put back."""
    size = acs.abs().square().mean((-3, -2, -1), keepdim=True).sqrt()
    return acs / size.clamp(min=torch.finfo(size.dtype).tiny)


def check_calibration(who: str, acs: Tensor, acceleration: int, *, n_lines: int, n_samples: int) -> None:
    """Raise `ValueError` unless RAKI can be fitted to the ACS `(..., coil, ky, kx)`: R of 2, one window, finite."""
    if acceleration < 2 or n_lines < 2:
        raise ValueError(
            f"{who}: R={acceleration} with a kernel of {counted(n_lines, 'line')}, at least R=2 with 2 "
            "needed"
        )
    check_window(who, acs, acceleration, n_lines=n_lines, n_samples=n_samples)


def check_window(who: str, acs: Tensor, acceleration: int, *, n_lines: int, n_samples: int) -> None:
    """Raise `ValueError` unless the ACS `(..., coil, ky, kx)` is finite and holds one window of the kernel."""
    check_axes(acs=(acs, "... coil ky kx"))
    span = (n_lines - 1) * acceleration + 1
    if acs.shape[-2] < span or acs.shape[-1] < n_samples:
        raise ValueError(
            f"{who}: {counted(acs.shape[-2], 'calibration line')} of {counted(acs.shape[-1], 'sample')}, "
            f"{span} of {n_samples} needed for R={acceleration} and {n_lines} source lines"
        )
    check_finite(who, acs)


def sample_columns(channels: Tensor, n_samples: int) -> Tensor:
    """Columns `(..., channel·sample, window, kx)` of what a kernel of one line sees; no wrapping."""
    if n_samples == 1:
        return channels
    return channels.unfold(-1, n_samples, 1).movedim(-1, -3).flatten(-4, -3)
