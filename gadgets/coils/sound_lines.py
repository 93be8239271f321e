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
from gadgets.gadget import Gadget
from gadgets.items import Calibration, LineCount, ReconBuffer
from gadgets.scan import Encoding
from kband_core.corruption import broken_coils, interference, receiver_offset, silent_lines, wild_lines, wild_samples
from kband_core.mending import mend_calibration, mend_lines


@dataclass
class SoundLines(Gadget):
    """Leave out samples, lines and coils that are certainly broken, before other gadgets mix the coils.

    Lines that hold a spike, nothing, or far too much are made again from their neighbours, and count as missing; what
    receivers add to all samples is taken off; a coil that is silent, or changed after its calibration, is left out. A
    radio wave is only told. The image's comment says what was done. Images of several partitions pass as they are.
    """

    accepts: ClassVar[tuple[type, ...]] = (Calibration, ReconBuffer)
    emits: ClassVar[tuple[type, ...]] = (Calibration, ReconBuffer)

    def process(self, items: Iterable[Calibration | ReconBuffer]) -> Iterator[Calibration | ReconBuffer]:
        """Yield each item with sound lines; calibration lines are mended once, ahead of the image."""
        calibrations = PerSlice("SoundLines", _mended)
        for item in items:
            if isinstance(item, Calibration):
                yield from (replace(item, acs=acs) for acs in calibrations.prepare(item) or [item.acs])
            elif item.acs is None or item.kspace.shape[4] > 1:
                yield item
            else:
                yield _sound(item, torch.stack(calibrations.of(item)))


def _sound(buffer: ReconBuffer, acs: Tensor) -> ReconBuffer:
    found = _Found(buffer, acs)
    for index in np.ndindex(buffer.headers.shape):
        found.look_at(index)
    return found.buffer()


class _Found:
    """A buffer whose images are looked at one after the other, and what is left of it."""

    def __init__(self, buffer: ReconBuffer, acs: Tensor) -> None:
        self._buffer, self._acs = buffer, acs
        self._kspace, self._counts = buffer.kspace.clone(), buffer.counts.copy()
        self._alive = torch.ones(buffer.kspace.shape[3], dtype=torch.bool, device=buffer.kspace.device)
        self._problems: list[str] = []
        self._n_recalibrated = int((acs != buffer.acs).any(-1).any(2).any(1).sum())

    def look_at(self, index: tuple[int, int, int]) -> None:
        lines, kspace = self._buffer.sampling.mask[index][0].any(-1), self._kspace[index][:, 0]
        acs = self._acs[index[0]][0]
        if not lines.any():
            return
        offset = receiver_offset(kspace[:, lines])
        if offset.any():
            kspace -= offset[:, None, None] * lines[:, None]
            self._acs[index[0]] -= offset[:, None, None]
            self._problems.append("receivers add a constant to all samples, which was taken off")
        apart = lines.clone()
        apart[_calibration_rows(self._buffer, len(lines), acs.shape[-2])] = False
        if apart.any():
            self._alive &= ~broken_coils(kspace[:, apart], acs)
            kspace[~self._alive] = 0
        self._mend(index, lines, kspace, acs)
        if columns := interference(kspace * lines[:, None]):
            self._problems.append(f"a radio wave in column {columns[0]}")

    def _mend(self, index: tuple[int, int, int], lines: Tensor, kspace: Tensor, acs: Tensor) -> None:
        broken, n_lines, first = torch.zeros_like(lines), len(lines), self._buffer.acs_row
        broken[lines] = _broken(kspace[:, lines], _distance(lines)[lines])
        if not broken.any():
            return
        kspace[:] = mend_lines(kspace, broken, 1 if lines.all() else self._buffer.encoding.acceleration[0], acs)
        if first is not None:
            calibrating = torch.arange(first, min(first + acs.shape[-2], n_lines), device=lines.device)
            both = calibrating[broken[calibrating]]
            kspace[:, both] = acs[:, both - first]
        received, expected = self._counts[index]
        self._counts[index] = LineCount(received - int(broken.sum()), expected)
        self._problems.append(f"{int(broken.sum())} lines are broken, first {int(broken.nonzero()[0])}")

    def buffer(self) -> ReconBuffer:
        """What is left; the buffer itself where all was sound."""
        was, kspace, acs = self._buffer, self._kspace, self._acs
        if self._n_recalibrated and not any("lines are broken" in problem for problem in self._problems):
            self._problems.append(f"{self._n_recalibrated} calibration lines are broken and were made again")
        if not self._alive.all():
            coil = int((~self._alive).nonzero()[0])
            self._problems.append(f"coil {coil} is broken and left out")
            held_out = was.held_out and (was.held_out[0][:, :, :, self._alive], was.held_out[1])
            was, kspace, acs = replace(was, held_out=held_out), kspace[:, :, :, self._alive], acs[:, :, self._alive]
        elif not self._problems:
            return was
        problems = (*was.problems, *self._problems)
        return replace(was, kspace=kspace, acs=acs, counts=self._counts, problems=problems)


def _calibration_rows(buffer: ReconBuffer, n_rows: int, n_lines: int) -> slice:
    """Rows of the image that calibrate it, if any do."""
    if buffer.encoding.calibration_mode in ("separate", "external"):
        return slice(0, 0)
    first = n_rows // 2 - n_lines // 2 if buffer.acs_row is None else buffer.acs_row
    return slice(first, first + n_lines)


def _distance(lines: Tensor) -> Tensor:
    """Of each line from the centre."""
    return (torch.arange(len(lines), device=lines.device) - len(lines) // 2).abs()


def _broken(lines: Tensor, distance: Tensor) -> Tensor:
    return silent_lines(lines) | wild_lines(lines) | wild_samples(lines, distance).any(-1).any(0)


def _mended(acs: Tensor, encoding: Encoding, matrix: tuple[int, int]) -> Tensor:
    """Calibration lines `(slice, z, coil, ky, kx)` without what is broken."""
    mended = acs.clone()
    for plane in mended.flatten(0, 1):
        broken = _broken(plane, _distance(plane[0, :, 0]))
        if broken.any():
            with suppress(ValueError):  # too few are left
                plane[:] = mend_calibration(plane, broken)
    return mended
