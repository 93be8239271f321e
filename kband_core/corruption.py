"""What of a measurement is certainly broken: samples, lines and coils that nothing in an object can explain.

Each limit lies between what real and simulated scans reach, which is given, and what the faults do. All functions take
the lines that were acquired, one after the other, `(coil, line, kx)`, as they came: before whitening and compression,
which spread what is wrong with one coil over all.
"""

from __future__ import annotations

import torch
from torch import Tensor

from kband_core.axes import check_axes
from kband_core.coils import sample_energy
from kband_core.fourier import to_image

NEAR = 8  # lines from the centre, in which neighbouring lines differ so much that a sample is compared with its own
BESIDE_IT = 9  # samples of the same line, in whose median
WILD_BESIDE = 40.0  # times that: real scans reach 19; a spike as high as the centre, 100 and more
AROUND = 5  # further out: samples and lines around, in whose median
WILD_AROUND = 20.0  # times that: real scans reach 7; also where a filter of the readout has spread a spike
EVERY = 8  # samples, of a line's median: only what exceeds a third of those limits times it is compared at all
WINDOW = 5  # samples of all coils, in which a spike is told from an object
ABOVE_NOISE = 3.0  # times the energy of the quietest directions of such windows: in others there is signal
FILLED = 0.02  # of the strongest direction, in amplitude: below, none is taken for signal (as in ESPIRiT)
STRANGE = 0.1  # of a window's energy, in directions without signal: tags reach 0.014, spikes 0.15 and more
LINES_AROUND = 5  # among which a line is compared, in energy
WILD_LINE = 1e4  # times their median: real scans reach 100, in the centre, where only every sixth line is acquired
SILENT = 1e-6  # of the median energy: a line or a coil that was not received
GAIN = 100.0  # times in energy, by which a coil changes between calibration and image, all coils alike being 1
OUTER = 0.5  # of k-space, along either axis, where the object's interior is gone
OFFSET = 2.0  # times the brightest other pixel of outer k-space, in the very centre: real scans reach 0.6
LAST_LINES = 0.6  # of k-space along ky: beyond, an object's columns are alike
MOST_LAST = 16  # of them, the furthest: they tell as much as all
COLUMNS = 15  # in whose median one is compared
INTERFERENCE = 10.0  # times that: real scans reach 3


def wild_samples(energy: Tensor, distance: Tensor) -> Tensor:
    """Tell which samples are spikes, far above the median of those around them; bool `(coil, line, kx)`.

    Of the five samples around a spike, which a filter of the readout has spread, only the strongest. `energy` as of
    `sample_energy`, `distance` `(line)` from the centre, in lines of k-space. Zeros, as beyond the end of a partial
    echo, do not count.
    """
    check_axes(energy=(energy, "coil line kx"), distance=(distance, "line"))
    usual, wild = _median(energy[..., ::EVERY]), torch.zeros_like(energy, dtype=torch.bool)
    brightest, near = energy.amax(-1), distance <= NEAR
    for here, n_lines, n_samples, times in ((near, 1, BESIDE_IT, WILD_BESIDE), (~near, AROUND, AROUND, WILD_AROUND)):
        enough = (times / 3) ** 2 * usual
        coil, line = torch.nonzero((brightest > enough) & here).unbind(-1)
        samples = energy[coil, line]
        beside = torch.nn.functional.pad(samples, (AROUND // 2,) * 2).unfold(-1, AROUND, 1)
        peaks = samples == beside.amax(-1)
        n, sample = torch.nonzero(peaks & (samples > enough[coil, line].unsqueeze(-1))).unbind(-1)
        candidates = torch.stack([coil[n], line[n], sample], dim=-1)
        where, around = candidates.unbind(-1), _neighbours(energy, candidates, n_lines, n_samples)
        measured, weaker = around > 0, around * times**2 < energy[where].unsqueeze(-1)
        wild[where] = (measured & weaker).sum(-1) > measured.sum(-1) / 2  # so is their median
    return wild


def strange_lines(lines: Tensor, wild: Tensor, acs: Tensor) -> Tensor:
    """Tell which lines hold a `wild` sample that coils cannot have received from any object; bool `(line)`.

    Tags, grids and edges have samples as strong and as lonely as spikes, but coils see them as they see the centre of
    k-space: windows of five samples of all coils lie in the directions that windows of `acs` `(coil, ky, sample)` fill.
    Of heads with tags they miss at most 1 % of their energy, of spikes in one coil or in all 15 % and more, down to two
    coils. A single coil tells nothing, and no sample is strange there.
    """
    check_axes(lines=(lines, "coil line kx"), wild=(wild, "coil line kx"), acs=(acs, "coil ky sample"))
    strange = torch.zeros_like(wild[0, :, 0])
    line, sample = wild.any(0).nonzero().unbind(-1)
    if len(line) == 0 or acs.shape[-1] < WINDOW or len(acs) == 1:
        return strange
    known = acs.unfold(-1, WINDOW, 1).permute(1, 2, 0, 3).flatten(2).flatten(0, 1)
    energies, directions = torch.linalg.eigh((known.mT @ known.conj()).to(torch.complex128) / len(known))
    by_noise = ABOVE_NOISE * energies[: max(len(energies) // 4, 1)].mean()
    is_empty = energies < by_noise.maximum(FILLED**2 * energies[-1])
    first = (sample - WINDOW // 2).clamp(0, lines.shape[-1] - WINDOW)
    windows = lines[:, line.unsqueeze(-1), first.unsqueeze(-1) + torch.arange(WINDOW, device=lines.device)]
    windows = windows.movedim(0, 1).flatten(1)
    beyond = sample_energy(windows @ directions[:, is_empty].to(lines.dtype).conj()).sum(-1)
    strange[line[beyond > STRANGE * sample_energy(windows).sum(-1)]] = True
    return strange


def wild_lines(energy: Tensor) -> Tensor:
    """Tell which lines are amplified as a whole: far above the median energy of five, all coils; bool `(line)`.

    `energy` `(coil, line)` of their samples.
    """
    energy = energy.mean(0)
    around = torch.nn.functional.pad(energy[None, None], (LINES_AROUND // 2,) * 2, mode="replicate")[0, 0]
    return energy > WILD_LINE * around.unfold(0, LINES_AROUND, 1).median(-1).values


def silent_lines(energy: Tensor) -> Tensor:
    """Tell which lines hold nothing, in any coil: counted as received, but never measured; bool `(line)`.

    `energy` `(coil, line)` of their samples.
    """
    energy = energy.mean(0)
    return energy <= SILENT * energy.median()


def broken_coils(energy: Tensor, acs_energy: Tensor) -> Tensor:
    """Tell which coils see another signal in the image's lines than in those that calibrate; bool `(coil)`.

    Between the two, an object may be brighter or a part of it missing, but never a hundred times for one coil and not
    for the median of all. The median line counts, which no spike reaches. A coil that is silent in both is broken, too.
    Both energies are those of samples, `(coil, line)`.
    """
    image, calibration = (part.median(-1).values for part in (energy, acs_energy))
    silent = (image <= SILENT * image.median()) | (calibration <= SILENT * calibration.median())
    change = image / calibration.clamp(min=torch.finfo(calibration.dtype).tiny)
    change = change / change[~silent].median() if (~silent).any() else change
    return silent | (change > GAIN) | (change < 1 / GAIN)


def receiver_offset(kspace: Tensor, energy: Tensor) -> Tensor:
    """Return the constant `(coil)` that receivers add to all samples of `kspace` `(coil, ky, kx)`; 0 if none is sure.

    `kspace` holds all lines, or those of a grid, one after the other; `energy` is that of its samples. The constant is
    a bright point in the centre of the image; whether there is one is asked of outer k-space, where an object has edges
    only.
    """
    regions, n_pixels = _outer_regions(kspace), kspace[0].numel()
    total = sum(kspace[:, rows, columns].sum((-2, -1)) for rows, columns in regions)
    at_centre = sample_energy(total).sum() / n_pixels
    if at_centre <= OFFSET**2 * sum(energy[:, rows, columns].sum() for rows, columns in regions) / n_pixels:  # the mean
        return torch.zeros_like(total)
    outer = torch.zeros_like(kspace)
    for rows, columns in regions:
        outer[:, rows, columns] = kspace[:, rows, columns]
    image = sample_energy(to_image(outer)).sum(-3)
    image[image.shape[-2] // 2, image.shape[-1] // 2] = 0
    if at_centre <= OFFSET**2 * image.max():
        return torch.zeros_like(total)
    return total / (outer != 0).any(-3).sum()


def _outer_regions(kspace: Tensor) -> list[tuple[slice, slice]]:
    """Rows and columns of outer k-space: those before and behind its inner half, and the ends of those within."""
    (above, below), (left, right) = (
        (n // 2 - int(OUTER * n / 2), n // 2 + int(OUTER * n / 2) + 1) for n in kspace.shape[-2:]
    )
    within = slice(above, below)
    return [(slice(0, above), slice(None)), (slice(below, None), slice(None)),
            (within, slice(0, left)), (within, slice(right, None))]  # fmt: skip


def interference(lines: Tensor, distance: Tensor) -> list[int]:
    """List the columns of the image in which `lines` `(coil, line, kx)` hold a radio wave, as strong in every line.

    In the outermost lines an object has little left, and about as much in one column as in those beside it. `distance`
    `(line)` from the centre is 1 at the ends of k-space.
    """
    last = torch.nonzero(distance > LAST_LINES).flatten()
    if len(last) == 0 or lines.shape[-1] < COLUMNS:
        return []
    furthest = distance[last].topk(min(MOST_LAST, len(last))).indices
    energy = sample_energy(to_image(lines[:, last[furthest]], dims=(-1,))).mean((-3, -2))
    margin = COLUMNS // 2
    beside = torch.nn.functional.pad(energy[None, None], (margin, margin), mode="circular")[0, 0].unfold(0, COLUMNS, 1)
    return torch.nonzero(energy > INTERFERENCE * beside.median(-1).values).flatten().tolist()


def _neighbours(energy: Tensor, where: Tensor, n_lines: int, n_samples: int) -> Tensor:
    """Samples around those at `where` `(n, 3)`, they themselves among them: `(n, lines · samples)`."""
    coil, line, sample = where.unsqueeze(-1).unbind(1)
    lines = line + torch.arange(n_lines, device=where.device) - n_lines // 2
    samples = sample + torch.arange(n_samples, device=where.device) - n_samples // 2
    lines, samples = lines.clamp(0, energy.shape[-2] - 1), samples.clamp(0, energy.shape[-1] - 1)
    return energy[coil.unsqueeze(-1), lines.unsqueeze(-1), samples.unsqueeze(-2)].flatten(-2)


def _median(sizes: Tensor) -> Tensor:
    """Median of those that are not zero, along the last axis."""
    return sizes.masked_fill(sizes == 0, torch.nan).nanmedian(-1).values
