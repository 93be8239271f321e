"""Whether measured lines fit together, asked of themselves: no image, no maps, and no model of the noise but its size.

An object of finite extent, seen by coils of smooth sensitivity, leaves most directions in the space of k-space windows
empty (as in ESPIRiT, Uecker 2014). What calibration lines leave empty, the lines of the image must leave empty, too,
whatever they show: all that is found there beyond noise is a spike, a jump of a line, a coil that changed, or a
calibration that belongs to something else. Calibration lines that do not fit together themselves need two coil vectors
everywhere, which no object does.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from kband_core.axes import check_axes
from kband_core.coils import sample_energy
from kband_core.coming_lines import ComingLines
from kband_core.device import send
from kband_core.noise_windows import EDGE
from kband_core.plural import counted

LINES, SAMPLES = 2, 5  # of a window; lines as far apart as those of the image
ROWS = 12  # of windows in calibration lines: from fewer, empty directions of other lines cannot be told
MOST_EMPTY = 24  # of them, the emptiest, are looked at: they tell as much as all
EMPTY = 0.15  # of all directions, at least: fewer tell nothing, as of two coils
INCONSISTENT = 4.0  # times the most that a calibration line holds there: scans reach 1.3, one of a poor reference 2.8
DOUBLED = 0.15  # of pixels need two coil vectors here and half a field of view away: real scans reach 0.001
OUTLIER = 10.0  # times noise, that windows of a calibration line hold where all others are empty
OUTLIER_SHARE = 0.1  # and of their own energy: strong lines pass the first limit, by 1 % of it, noise the second


@dataclass(frozen=True)
class WindowLaw:
    """Directions `empty` `(coil, line, sample, direction)` that no window of calibration lines fills, and the most
    energy that one row of such windows has there, 1 being noise. Lines of a window are `acceleration` apart."""

    empty: Tensor
    most: float
    acceleration: int


@dataclass(frozen=True)
class Misfit:
    """How badly the worst line fits: its energy in empty directions over the most of any calibration line; and where.

    `line` among all lines, `coil` and `sample` of the part of it that stands out most.
    """

    ratio: float
    line: int
    coil: int
    sample: int

    @property
    def is_consistent(self) -> bool:
        return self.ratio < INCONSISTENT

    def sentence(self) -> str:
        """Say it to a person."""
        return (
            f"line {self.line} contradicts the calibration lines {self.ratio:.1f} times more than they do one another, "
            f"most at sample {self.sample}"
        )


def learn_windows(acs: Tensor, acceleration: int) -> WindowLaw:
    """Learn from calibration lines `(coil, ky, kx)` which directions windows of the image's lines leave empty.

    Windows have two lines, `acceleration` apart, and five samples, of all coils; noise must be white with SD 1. Raises
    `ValueError` where the calibration lines, or the coils, are too few to tell.
    """
    check_axes(acs=(acs, "coil ky kx"))
    n_rows = acs.shape[-2] - (LINES - 1) * acceleration
    if n_rows < ROWS or acs.shape[-1] < SAMPLES:
        raise ValueError(
            f"consistency: {counted(acs.shape[-2], 'calibration line')} at R={acceleration}, at least "
            f"{ROWS + (LINES - 1) * acceleration} needed to judge others by"
        )
    windows = _windows(acs, torch.arange(n_rows, device=acs.device), acceleration)
    rows = windows.flatten(0, 1)
    gram = (rows.mT @ rows.conj()).to(torch.complex128) / len(rows)
    energies, directions = torch.linalg.eigh(gram)
    n_empty = int((energies < _strongest_noise(rows.shape[1], len(rows))).sum())  # the first ones: they rise
    if n_empty / len(energies) < EMPTY:
        raise ValueError(
            f"consistency: {n_empty} of {len(energies)} directions of windows of "
            f"{counted(len(acs), 'coil')} are free "
            f"of signal, at least {EMPTY:.0%} needed to judge by"
        )
    empty = directions[:, : min(n_empty, MOST_EMPTY)].to(acs.dtype)
    most = float(_energies(windows, empty).mean(-1).max())
    return WindowLaw(empty.unflatten(0, (len(acs), LINES, SAMPLES)), max(most, 1.0), acceleration)


def beyond_law(kspace: Tensor, empty: Tensor) -> Tensor:
    """Return what windows of lines `(coil, line, kx)` have in the `empty` directions of a law, side by side.

    Each line of k-space is projected by itself, as either line of a window; the sum over the lines of a window is what
    the window has there. Returns `(line of the window · direction, line, column)`.
    """
    n_columns = kspace.shape[-1] // SAMPLES
    parts = kspace[..., : n_columns * SAMPLES].unflatten(-1, (n_columns, SAMPLES))
    parts = parts.movedim(-1, 1).flatten(2).flatten(0, 1)  # coil · sample, line · column
    onto = empty.permute(1, 3, 0, 2).flatten(2).flatten(0, 1)  # line of the window · direction, coil · sample
    return (onto.conj() @ parts).unflatten(-1, (kspace.shape[1], n_columns))


def misfit(law: WindowLaw, kspace: Tensor, lines: Tensor, known: ComingLines | None = None) -> Misfit:
    """Judge the acquired `lines`, bool `(ky,)`, of `kspace` `(coil, ky, kx)` by what calibration lines leave empty.

    Every pair of lines as far apart as those of a window is looked at, in windows side by side. Coils tell lines apart
    that are close: at R=1 the sign of a line is wrong or right, at R=3 that of one which does not calibrate cannot be
    known. `known`: what `beyond_law` says of these lines, as far as it was asked before; all others are asked now.
    Raises `ValueError` if there is no such pair.
    """
    check_axes(kspace=(kspace, "coil ky kx"), lines=(lines, "ky"))
    reach, lines = (LINES - 1) * law.acceleration, lines.cpu()
    first = torch.nonzero(lines[:-reach] & lines[reach:]).flatten()
    if len(first) == 0:
        raise ValueError(f"consistency: no two of {counted(int(lines.sum()), 'line')} are {reach} apart")
    energies = _energies_of_pairs(law, kspace, lines, first, known)
    by_row = energies.mean(-1)
    row = by_row.argmax(0, keepdim=True)
    column = energies.index_select(0, row).flatten().argmax(0, keepdim=True)
    pair_of = send(first, row.device).index_select(0, row) + reach * torch.arange(LINES, device=row.device)
    within = column * SAMPLES + torch.arange(SAMPLES, device=row.device)
    pair = kspace.index_select(1, pair_of).index_select(2, within)
    empty = law.empty.flatten(0, -2)
    place = (empty @ (empty.mH @ pair.flatten())).abs().argmax(0, keepdim=True)
    found = torch.cat([part.double() for part in (by_row.amax(0, keepdim=True), row, column, place)])
    energy, *indices = found.tolist()  # all at once: a GPU is waited for
    row, column, place = map(int, indices)
    place, sample = divmod(place, SAMPLES)
    coil, line = divmod(place, LINES)
    where = int(first[row]) + line * law.acceleration, coil, column * SAMPLES + sample
    return Misfit(energy / law.most, *where)


def contradicting_lines(acs: Tensor) -> list[int]:
    """List the calibration lines `(coil, ky, kx)` that do not fit to any others, such as one of the wrong sign.

    Each row of windows is judged by what those without its lines leave empty; noise must be white with SD 1. Several
    lines with the same fault hide one another: that lines contradict at all is told by `doubled_share`. Fewer than 13
    lines tell nothing.
    """
    n_rows = acs.shape[-2] - LINES + 1
    if n_rows < ROWS or acs.shape[-1] < SAMPLES:
        return []
    windows = _windows(acs, torch.arange(n_rows, device=acs.device), 1)
    _, n_columns, n_directions = windows.shape
    grams = (windows.mT @ windows.conj()).to(torch.complex128) / n_columns
    stands_out = []
    for row in range(n_rows):
        others = [n for n in range(n_rows) if abs(n - row) >= LINES]
        energies, directions = torch.linalg.eigh(grams[others].mean(0))
        empty = directions[:, energies < _strongest_noise(n_directions, len(others) * n_columns)]
        noise, energy = empty.shape[-1], float(grams[row].diagonal().sum().real)
        there = float(torch.einsum("pd,pq,qd->", empty.conj(), grams[row], empty).real)
        stands_out.append(there > OUTLIER * noise and there - noise > OUTLIER_SHARE * energy)
    rows_of = [stands_out[max(line - LINES + 1, 0) : line + 1] for line in range(acs.shape[-2])]
    return [line for line, rows in enumerate(rows_of) if all(rows)]


def doubled_share(csm: Tensor) -> float:
    """Return the share of pixels that need a second coil vector both here and half a field of view away along y.

    `csm` `(set, coil, y, x)` as of `kband_core.calibration.coil_maps`. A head that wraps folds at the edges only: half
    a field of view away is its middle. Where neighbouring calibration lines contradict one another, by their gain,
    their phase, or a shift, a ghost lies half a field of view from the object, everywhere. So it seems where the field
    of view is half as long as the object.
    """
    if csm.shape[-4] < 2:
        return 0.0
    second = (csm[..., 1, :, :, :] != 0).any(-3)
    return float((second & second.roll(second.shape[-2] // 2, -2)).float().mean())


def _energies_of_pairs(
    law: WindowLaw, kspace: Tensor, lines: Tensor, first: Tensor, known: ComingLines | None
) -> Tensor:
    """As `_energies`, of windows side by side that begin at the lines `first`; every line is projected only once."""
    if known is None:
        acquired, at = torch.nonzero(lines).flatten(), lines.cumsum(0) - 1
        of_line = beyond_law(kspace.index_select(1, send(acquired, kspace.device)), law.empty)
    else:
        of_line, at = known.with_others(kspace, lines), torch.arange(len(lines))
    of_place = of_line.unflatten(0, (LINES, -1))
    pairs = (send(at[first + n * law.acceleration], kspace.device) for n in range(LINES))
    there = sum(of_place[n].index_select(1, pair) for n, pair in enumerate(pairs))
    return sample_energy(there).mean(0)


def _strongest_noise(n_directions: int, n_windows: int) -> float:
    """Energy of noise of SD 1 in its strongest direction (Marchenko and Pastur), with a margin: above it is signal."""
    return EDGE * (1 + (n_directions / n_windows) ** 0.5) ** 2


def _windows(kspace: Tensor, first: Tensor, acceleration: int) -> Tensor:
    """Windows that begin at the lines `first`, at every sample: `(row, column, coil·line·sample)`."""
    lines = torch.stack([kspace[:, first + n * acceleration] for n in range(LINES)], dim=-2)
    return lines.unfold(-1, SAMPLES, 1).permute(1, 3, 0, 2, 4).flatten(2)


def _energies(windows: Tensor, empty: Tensor) -> Tensor:
    """Mean energy of windows in the empty directions, `(row, column)`."""
    return (windows @ empty.flatten(0, -2).conj()).abs().square().mean(-1)
