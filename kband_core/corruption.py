"""What of a measurement is certainly broken: samples, lines and coils that nothing in an object can explain.

Each limit lies between what real and simulated scans reach, which is given, and what the faults do. All functions take
the lines that were acquired, one after the other, `(coil, line, kx)`, as they came: before whitening and compression,
which spread what is wrong with one coil over all.
"""

from __future__ import annotations

import torch
from torch import Tensor

from kband_core.axes import check_axes
from kband_core.fourier import to_image

NEAR = 8  # lines from the centre, in which neighbouring lines differ so much that a sample is compared with its own
BESIDE_IT = 9  # samples of the same line, in whose median
WILD_BESIDE = 40.0  # times that: real scans reach 19; a spike as high as the centre, 100 and more
AROUND = 5  # further out: samples and lines around, in whose median
WILD_AROUND = 20.0  # times that: real scans reach 7; also where a filter of the readout has spread a spike
LINES_AROUND = 5  # among which a line is compared, in energy
WILD_LINE = 1e4  # times their median: real scans reach 100, in the centre, where only every sixth line is acquired
SILENT = 1e-6  # of the median energy: a line or a coil that was not received
GAIN = 100.0  # times in energy, by which a coil changes between calibration and image, all coils alike being 1
OUTER = 0.5  # of k-space, along either axis, where the object's interior is gone
OFFSET = 2.0  # times the brightest other pixel of outer k-space, in the very centre: real scans reach 0.6
LAST_LINES = 0.6  # of k-space along ky: beyond, an object's columns are alike
COLUMNS = 15  # in whose median one is compared
INTERFERENCE = 10.0  # times that: real scans reach 3


def wild_samples(lines: Tensor, distance: Tensor) -> Tensor:
    """Tell which samples are spikes, far above the median of those around them; bool `(coil, line, kx)`.

    `distance` `(line)` from the centre, in lines of k-space. Zeros, as beyond the end of a partial echo, do not count.
    """
    check_axes(lines=(lines, "coil line kx"), distance=(distance, "line"))
    size = lines.abs()
    ratio = size / _median(size).unsqueeze(-1)
    wild = _stand_out(size, ratio, 1, BESIDE_IT, WILD_BESIDE)
    far = distance > NEAR
    wild[:, far] |= _stand_out(size, ratio, AROUND, AROUND, WILD_AROUND)[:, far]
    return wild


def wild_lines(lines: Tensor) -> Tensor:
    """Tell which lines are amplified as a whole: far above the median energy of five, all coils; bool `(line)`."""
    energy = lines.abs().square().mean((-3, -1))
    around = torch.nn.functional.pad(energy[None, None], (LINES_AROUND // 2,) * 2, mode="replicate")[0, 0]
    return energy > WILD_LINE * around.unfold(0, LINES_AROUND, 1).median(-1).values


def silent_lines(lines: Tensor) -> Tensor:
    """Tell which lines hold nothing, in any coil: counted as received, but never measured; bool `(line)`."""
    energy = lines.abs().square().mean((-3, -1))
    return energy <= SILENT * energy.median()


def broken_coils(lines: Tensor, acs: Tensor) -> Tensor:
    """Tell which coils see another signal in the image's lines than in `acs` `(coil, ky, kx)`; bool `(coil)`.

    Between the two, an object may be brighter or a part of it missing, but never a hundred times for one coil and not
    for the median of all. The median line counts, which no spike reaches. A coil that is silent in both is broken, too.
    """
    image, calibration = (part.abs().square().mean(-1).median(-1).values for part in (lines, acs))
    silent = (image <= SILENT * image.median()) | (calibration <= SILENT * calibration.median())
    change = image / calibration.clamp(min=torch.finfo(calibration.dtype).tiny)
    change = change / change[~silent].median() if (~silent).any() else change
    return silent | (change > GAIN) | (change < 1 / GAIN)


def receiver_offset(kspace: Tensor) -> Tensor:
    """Return the constant `(coil)` that receivers add to all samples of `kspace` `(coil, ky, kx)`; 0 if none is sure.

    `kspace` holds all lines, or those of a grid, one after the other. The constant is a bright point in the centre of
    the image; whether there is one is asked of outer k-space, where an object has edges only.
    """
    outer = _distance(kspace, -2)[:, None].maximum(_distance(kspace, -1)) > OUTER
    image = to_image(kspace * outer).abs().square().sum(-3)
    centre = image.shape[-2] // 2, image.shape[-1] // 2
    at_centre = image[centre].clone()
    image[centre] = 0
    acquired = outer & (kspace != 0).any(-3)
    offset = (kspace * acquired).sum((-2, -1)) / acquired.sum()
    return offset if at_centre > OFFSET**2 * image.max() else torch.zeros_like(offset)


def interference(kspace: Tensor) -> list[int]:
    """List the columns of the image in which `kspace` `(coil, ky, kx)` holds a radio wave, as strong in every line.

    In the outermost lines an object has little left, and about as much in one column as in those beside it.
    """
    last = (_distance(kspace, -2) > LAST_LINES) & (kspace != 0).any(-1).any(-2)
    if not last.any():
        return []
    energy = to_image(kspace[:, last], dims=(-1,)).abs().square().mean((-3, -2))
    margin = COLUMNS // 2
    beside = torch.nn.functional.pad(energy[None, None], (margin, margin), mode="circular")[0, 0].unfold(0, COLUMNS, 1)
    return torch.nonzero(energy > INTERFERENCE * beside.median(-1).values).flatten().tolist()


def _stand_out(size: Tensor, ratio: Tensor, n_lines: int, n_samples: int, times: float) -> Tensor:
    """Whether a sample is so many times the median, zeros apart, of those around; bool `(coil, line, kx)`.

    Medians around are taken only of samples that stand out of their whole line, being `ratio` times its median: nowhere
    is a line a third as strong as in its median.
    """
    found = torch.zeros_like(size, dtype=torch.bool)
    where = (ratio > times / 3).nonzero(as_tuple=True)
    margins = (n_samples // 2,) * 2 + (n_lines // 2,) * 2
    around = torch.nn.functional.pad(size[None], margins, mode="replicate")[0]
    windows = around.unfold(-2, n_lines, 1).unfold(-2, n_samples, 1)[where].flatten(-2)
    found[where] = size[where] > times * _median(windows)
    return found


def _median(sizes: Tensor) -> Tensor:
    """Median of those that are not zero, along the last axis."""
    return sizes.masked_fill(sizes == 0, torch.nan).nanmedian(-1).values


def _distance(kspace: Tensor, dim: int) -> Tensor:
    """Distance from the centre, 1 at the ends of the axis."""
    length = kspace.shape[dim]
    return (torch.arange(length, device=kspace.device) - length // 2).abs() / (length / 2)
