"""What is certainly broken is left out before coils are mixed: lines made again from their neighbours, coils gone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from gadgets.coils.per_slice import PerSlice
from gadgets.coils.sound_volumes import sound_volume
from gadgets.departure import as_it_came
from gadgets.encoding import Encoding
from gadgets.gadget import Gadget
from gadgets.items import Calibration, ReconBuffer
from gadgets.line_count import LineCount
from kband_core.coils import sample_energy
from kband_core.corruption import (
    broken_coils,
    interference,
    receiver_offset,
    silent_lines,
    strange_lines,
    wild_lines,
    wild_samples,
)
from kband_core.device import in_same_memory, send
from kband_core.looked_lines import LookedLines
from kband_core.mending import mend_calibration, mend_lines
from kband_core.plural import counted
from kband_core.threads import single_thread


@dataclass
class SoundLines(Gadget):
    """Leave out samples, lines and coils that are certainly broken, before other gadgets mix the coils.

    Lines that hold a spike, nothing, or far too much are made again from their neighbours, and count as missing; what
    receivers add to all samples is taken off; a coil that is silent, or changed after its calibration, is left out. A
    radio wave is only told. The image's comment says what was done. Of volumes undersampled along ky and kz lines and
    coils are judged, not samples; other images of several partitions, or of slices excited at once, pass as they are.
    """

    accepts: ClassVar[tuple[type, ...]] = (Calibration, ReconBuffer)
    emits: ClassVar[tuple[type, ...]] = (Calibration, ReconBuffer)

    def process(self, items: Iterable[Calibration | ReconBuffer]) -> Iterator[Calibration | ReconBuffer]:
        """Yield each item with sound lines; calibration lines are mended once, ahead of the image."""
        calibrations = PerSlice("SoundLines", _mended)
        for item in items:
            if item.encoding.multiband > 1:
                yield item
            elif item.turned:
                yield item if isinstance(item, Calibration) else sound_volume(item)
            elif isinstance(item, Calibration):
                yield _sound_calibration(item, calibrations)
            elif item.acs is None or item.kspace.shape[4] > 1:
                yield item
            else:
                yield _sound(item, calibrations)


def _sound_calibration(item: Calibration, calibrations: PerSlice[Tensor]) -> Calibration:
    acs = as_it_came(item.acs)
    sound = calibrations.prepare(replace(item, acs=acs))
    if not sound or in_same_memory(sound[0], acs):
        return item
    return replace(item, acs=send(sound[0], item.acs.device))


def _sound(buffer: ReconBuffer, calibrations: PerSlice[Tensor]) -> ReconBuffer:
    """Look at a buffer where its lines came from: no GPU is asked about them, one by one."""
    kspace, acs, sampling = as_it_came(buffer.kspace), as_it_came(buffer.acs), buffer.sampling.here()
    here = replace(buffer, kspace=kspace, acs=acs, sampling=sampling)
    found = _Found(here, torch.stack(calibrations.of(here)))
    with single_thread():
        for index in np.ndindex(buffer.headers.shape):
            found.look_at(index)
    sound, device = found.buffer(), buffer.kspace.device
    if sound is here:
        return buffer
    kspace = buffer.kspace if sound.kspace is kspace else send(sound.kspace, device)
    acs = buffer.acs if torch.equal(sound.acs, acs) else send(sound.acs, device)
    return replace(sound, kspace=kspace, acs=acs, sampling=buffer.sampling)


class _Found:
    """A buffer whose images are looked at one after the other, and what is left of it."""

    def __init__(self, buffer: ReconBuffer, acs: Tensor) -> None:
        self._buffer, self._kspace, self._acs, self._counts = buffer, buffer.kspace, acs, buffer.counts.copy()
        self._alive = torch.ones(buffer.kspace.shape[3], dtype=torch.bool, device=buffer.kspace.device)
        self._problems: list[str] = []
        self._has_broken_lines, self._n_recalibrated = False, 0
        if not torch.equal(acs, buffer.acs):
            self._n_recalibrated = int((acs != buffer.acs).any(-1).any(2).any(1).sum())

    def look_at(self, index: tuple[int, int, int]) -> None:
        """Look for all that may be broken in the image `(slice, s, n)`."""
        acquired = self._buffer.sampling.mask[index][0].any(-1)
        if not acquired.any():
            return
        rows = torch.nonzero(acquired).flatten()
        lines, acs = self._looked_at(index, rows), self._acs[index[0]][0]
        offset = receiver_offset(lines)
        if offset.any():
            self._put(index, rows, lines.samples - offset[:, None, None])
            lines = self._looked_at(index, rows)
            self._acs[index[0]] -= offset[:, None, None]
            self._problems.append("receivers add a constant to all samples, which was taken off")
        if not self._judge_coils(rows, lines.figures.energy, acs):
            self._problems.append("no coil received a signal that can be used")
            return
        if not self._alive.all():  # what a broken coil holds tells nothing of its lines
            lines, acs = lines.with_coils(self._alive), acs * self._alive[:, None, None]
        broken = _broken(lines, acs)
        if broken.any():
            lines = self._mended(index, lines, broken, acs)
        if columns := interference(lines):
            self._problems.append(f"a radio wave in column {columns[0]}")

    def _looked_at(self, index: tuple[int, int, int], rows: Tensor) -> LookedLines:
        """Lines with their figures: those that were told as the lines came, if nothing has changed them since."""
        kspace, known = self._kspace[index][:, 0], self._buffer.looked
        return known if known is not None and known.are(kspace, rows) else LookedLines.of(kspace, rows)

    def _judge_coils(self, rows: Tensor, energy: Tensor, acs: Tensor) -> bool:
        """Leave out what is broken, unless that is all; whether any coil is left."""
        calibrating = _calibration_rows(self._buffer, acs.shape[-2])
        apart = (rows < calibrating.start) | (rows >= calibrating.stop)
        alive = self._alive
        if apart.any():
            alive = alive & ~broken_coils(energy[:, apart], sample_energy(acs).mean(-1))
        if is_any := bool(alive.any()):
            self._alive = alive
        return is_any

    def _mended(self, index: tuple[int, int, int], lines: LookedLines, broken: Tensor, acs: Tensor) -> LookedLines:
        """Make the `broken` ones of the lines again; returns all."""
        rows, n_rows, first = lines.rows[broken], lines.kspace.shape[-2], self._buffer.acs_row
        spacing = 1 if len(lines.rows) == n_rows else self._buffer.encoding.acceleration[0]
        is_broken = torch.zeros(n_rows, dtype=torch.bool, device=rows.device).index_fill_(0, rows, True)
        try:
            kspace = mend_lines(lines.kspace, is_broken, spacing, acs)
        except ValueError:  # too few calibrate
            kspace = torch.where(is_broken[:, None], 0, lines.kspace)
        if first is not None:
            both = rows[(rows >= first) & (rows < first + acs.shape[-2])]
            kspace[:, both] = acs[:, both - first]
        self._put(index, rows, kspace[:, rows])
        received, expected = self._counts[index]
        self._counts[index] = LineCount(received - len(rows), expected)
        self._has_broken_lines = True
        self._problems.append(f"{counted(len(rows), 'line is', 'lines are')} broken, first {int(rows[0])}")
        return LookedLines.of(kspace, lines.rows)

    def _put(self, index: tuple[int, int, int], rows: Tensor, lines: Tensor) -> None:
        if self._kspace is self._buffer.kspace:  # which others may look at
            self._kspace = self._kspace.clone()
        self._kspace[index][:, 0, rows] = lines

    def buffer(self) -> ReconBuffer:
        """What is left; the buffer itself where all was sound."""
        was, kspace, acs = self._buffer, self._kspace, self._acs
        if self._n_recalibrated and not self._has_broken_lines:
            what = "calibration line is broken and was", "calibration lines are broken and were"
            self._problems.append(f"{counted(self._n_recalibrated, *what)} made again")
        if not self._alive.all():
            coil = int((~self._alive).nonzero()[0])
            self._problems.append(f"coil {coil} is broken and left out")
            held_out = was.held_out and (was.held_out[0][:, :, :, self._alive], was.held_out[1])
            was, kspace, acs = replace(was, held_out=held_out), kspace[:, :, :, self._alive], acs[:, :, self._alive]
        elif not self._problems:
            return was
        problems = (*was.problems, *self._problems)
        return replace(was, kspace=kspace, acs=acs, counts=self._counts, problems=problems)


def _calibration_rows(buffer: ReconBuffer, n_lines: int) -> slice:
    """Rows of the image that calibrate it, if any do."""
    if buffer.encoding.calibrates_apart:
        return slice(0, 0)
    first = buffer.kspace.shape[-2] // 2 - n_lines // 2 if buffer.acs_row is None else buffer.acs_row
    return slice(first, first + n_lines)


def _broken(lines: LookedLines, acs: Tensor | None = None) -> Tensor:
    """Which lines are broken; without `acs`, calibration lines are compared with those of them that have no spike."""
    wild, energy = wild_samples(lines), lines.figures.energy
    if acs is None:
        has_none = torch.ones_like(lines.rows, dtype=torch.bool).index_fill_(0, wild[:, 1], False)
        acs = lines.kspace[:, lines.rows[has_none]]
    return silent_lines(energy) | wild_lines(energy) | strange_lines(lines, wild, acs)


def _mended(acs: Tensor, encoding: Encoding, matrix: tuple[int, int]) -> Tensor:
    """Calibration lines `(slice, z, coil, ky, kx)` without what is broken: the very ones if none is."""
    broken = [_broken(LookedLines.of(plane)) for plane in acs.flatten(0, 1)]
    if not torch.stack(broken).any():
        return acs
    mended = acs.clone()
    for plane, lines in zip(mended.flatten(0, 1), broken, strict=True):
        if lines.any():
            with suppress(ValueError):  # too few are left
                plane[:] = mend_calibration(plane, lines)
    return mended
