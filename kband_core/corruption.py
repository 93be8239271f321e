"""What of a measurement is certainly broken: samples, lines and coils that nothing in an object can explain.

Each limit lies between what real and simulated scans reach, which is given, and what the faults do. All functions take
the lines that were acquired as they came: before whitening and compression, which spread what is wrong with one coil
over all. The figures of lines tell of most that nothing is wrong; only the others are looked at sample by sample.
"""

from __future__ import annotations

import torch
from torch import Tensor

from kband_core.axes import check_axes
from kband_core.coils import sample_energy
from kband_core.fourier import to_image
from kband_core.looked_lines import LookedLines, inner_half

NEAR = 8  # lines from the centre, in which neighbouring lines differ so much that a sample is compared with its own
BESIDE_IT = 9  # samples of the same line, in whose median
WILD_BESIDE = 40.0  # times that: real scans reach 19; a spike as high as the centre, 100 and more
AROUND = 5  # further out: samples and lines around, in whose median
WILD_AROUND = 20.0  # times that: real scans reach 7; also where a filter of the readout has spread a spike
FIRST_LOOK = 1 / 3  # of those limits, times the median of a line: only what exceeds that is compared at all
WINDOW = 5  # samples of all coils, in which a spike is told from an object
ABOVE_NOISE = 3.0  # times the energy of the quietest directions of such windows: in others there is signal
FILLED = 0.02  # of the strongest direction, in amplitude: below, none is taken for signal (as in ESPIRiT)
STRANGE = 0.1  # of a window's energy, in directions without signal: tags reach 0.014, spikes 0.15 and more
LINES_AROUND = 5  # among which a line is compared, in energy
WILD_LINE = 1e4  # times their median: real scans reach 100, in the centre, where only every sixth line is acquired
SILENT = 1e-6  # of the median energy: a line or a coil that was not received
GAIN = 100.0  # times in energy, by which a coil changes between calibration and image, all coils alike being 1
OFFSET = 2.0  # times the brightest other pixel of outer k-space, in the very centre: real scans reach 0.6
LAST_LINES = 0.6  # of k-space along ky: beyond, an object's columns are alike
MOST_LAST = 16  # of them, the furthest: they tell as much as all
COLUMNS = 15  # in whose median one is compared
INTERFERENCE = 10.0  # times that: real scans reach 3


def wild_samples(lines: LookedLines) -> Tensor:
    """List the samples that are spikes, far above the median of those around them; `(n, 3)`: coil, line, sample.

    Of the five samples around a spike, which a filter of the readout has spread, only the strongest. Zeros, as beyond
    the end of a partial echo, do not count.
    """
    found, near = [], lines.from_centre <= NEAR
    for here, n_lines, n_samples, times in ((near, 1, BESIDE_IT, WILD_BESIDE), (~near, AROUND, AROUND, WILD_AROUND)):
        enough = (FIRST_LOOK * times) ** 2 * lines.figures.usual
        coil, line = torch.nonzero((lines.figures.brightest > enough) & here).unbind(-1)
        samples = sample_energy(lines.kspace[coil, lines.rows[line]])
        beside = torch.nn.functional.max_pool1d(samples.unsqueeze(1), AROUND, stride=1, padding=AROUND // 2)
        is_peak = (samples == beside.squeeze(1)) & (samples > enough[coil, line].unsqueeze(-1))
        n, sample = torch.nonzero(is_peak).unbind(-1)
        peaks, energy = torch.stack([coil[n], line[n], sample], dim=-1), samples[n, sample]
        around = _neighbours(lines, peaks, n_lines, n_samples)
        measured, weaker = around > 0, around * times**2 < energy.unsqueeze(-1)
        found.append(peaks[(measured & weaker).sum(-1) > measured.sum(-1) / 2])  # so is their median
    return torch.cat(found)


def strange_lines(lines: LookedLines, wild: Tensor, acs: Tensor) -> Tensor:
    """Tell which lines hold a `wild` sample that coils cannot have received from any object; bool `(line)`.

    Tags, grids and edges have samples as strong and as lonely as spikes, but coils see them as they see the centre of
    k-space: windows of five samples of all coils lie in the directions that windows of `acs` `(coil, ky, sample)` fill.
    Of heads with tags they miss at most 1 % of their energy, of spikes in one coil or in all 15 % and more, down to two
    coils. A single coil tells nothing, and no sample is strange there. `wild` as of `wild_samples`.
    """
    check_axes(acs=(acs, "coil ky sample"))
    strange = torch.zeros_like(lines.rows, dtype=torch.bool)
    if len(wild) == 0 or acs.shape[-1] < WINDOW or len(acs) == 1:
        return strange
    line, sample = wild[:, 1:].unique(dim=0).unbind(-1)
    known = acs.unfold(-1, WINDOW, 1).permute(1, 2, 0, 3).flatten(2).flatten(0, 1)
    energies, directions = torch.linalg.eigh((known.mT @ known.conj()).to(torch.complex128) / len(known))
    by_noise = ABOVE_NOISE * energies[: max(len(energies) // 4, 1)].mean()
    is_empty = energies < by_noise.maximum(FILLED**2 * energies[-1])
    first = (sample - WINDOW // 2).clamp(0, lines.kspace.shape[-1] - WINDOW)
    within = first.unsqueeze(-1) + torch.arange(WINDOW, device=first.device)
    windows = lines.kspace[:, lines.rows[line].unsqueeze(-1), within].movedim(0, 1).flatten(1)
    beyond = sample_energy(windows @ directions[:, is_empty].to(windows.dtype).conj()).sum(-1)
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


def receiver_offset(lines: LookedLines) -> Tensor:
    """Return the constant `(coil)` that receivers add to all samples; 0 if none is sure.

    The lines are all, or those of a grid. The constant is a bright point in the centre of the image; whether there is
    one is asked of outer k-space, where an object has edges only.
    """
    figures, within = lines.figures, inner_half(len(lines.rows))
    n_samples = lines.kspace.shape[-1]
    n_pixels = len(lines.rows) * n_samples
    total, energy = (
        sum(of[:, outer].sum(-1) for outer in (slice(within.start), slice(within.stop, None))) + ends[:, within].sum(-1)
        for of, ends in ((figures.total, figures.total_ends), (n_samples * figures.energy, figures.energy_ends))
    )
    at_centre = sample_energy(total).sum() / n_pixels
    if at_centre <= OFFSET**2 * energy.sum() / n_pixels:  # the mean
        return torch.zeros_like(total)
    outer = lines.kspace[:, lines.rows]
    outer[:, within, inner_half(n_samples)] = 0
    image = sample_energy(to_image(outer)).sum(-3)
    image[image.shape[-2] // 2, image.shape[-1] // 2] = 0
    if at_centre <= OFFSET**2 * image.max():
        return torch.zeros_like(total)
    return total / (outer != 0).any(-3).sum()


def interference(lines: LookedLines) -> list[int]:
    """List the columns of the image in which lines hold a radio wave, as strong in every one of them.

    In the outermost lines an object has little left, and about as much in one column as in those beside it.
    """
    distance, n_samples = lines.from_centre / (lines.kspace.shape[-2] / 2), lines.kspace.shape[-1]
    last = torch.nonzero(distance > LAST_LINES).flatten()
    if len(last) == 0 or n_samples < COLUMNS:
        return []
    furthest = lines.rows[last[distance[last].topk(min(MOST_LAST, len(last))).indices]]
    columns = torch.fft.ifft(lines.kspace[:, furthest], norm="ortho")  # where k-space begins is a phase
    energy = torch.fft.fftshift(sample_energy(columns).mean((-3, -2)))
    margin = COLUMNS // 2
    beside = torch.nn.functional.pad(energy[None, None], (margin, margin), mode="circular")[0, 0].unfold(0, COLUMNS, 1)
    return torch.nonzero(energy > INTERFERENCE * beside.median(-1).values).flatten().tolist()


def _neighbours(lines: LookedLines, where: Tensor, n_lines: int, n_samples: int) -> Tensor:
    """Energy of the samples around those at `where` `(n, 3)`, they among them: `(n, lines · samples)`."""
    coil, line, sample = where.unsqueeze(-1).unbind(1)
    beside = line + torch.arange(n_lines, device=where.device) - n_lines // 2
    samples = sample + torch.arange(n_samples, device=where.device) - n_samples // 2
    rows = lines.rows[beside.clamp(0, len(lines.rows) - 1)]
    samples = samples.clamp(0, lines.kspace.shape[-1] - 1)
    return sample_energy(lines.kspace[coil.unsqueeze(-1), rows.unsqueeze(-1), samples.unsqueeze(-2)]).flatten(-2)
