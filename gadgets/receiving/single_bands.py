"""Single-band lines: those of each slice alone, which tell apart what is excited at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor

from gadgets import flags
from gadgets.bands import Bands, Multiband
from gadgets.errors import ScanError
from gadgets.items import Aside
from gadgets.mrd import ismrmrd
from gadgets.receiving.admission import Admission
from gadgets.receiving.calibration import CalibrationLines, flagged_lines
from gadgets.receiving.image_lines import FEWEST, ImageKey
from gadgets.receiving.kspace_lines import KSpaceLines
from gadgets.receiving.place import place_of, turned_round, without_untold_oversampling
from gadgets.receiving.role import Role, role_of
from gadgets.scan import Scan
from kband_core.fourier import resize
from kband_core.multiband import blip_phase
from kband_core.plural import counted

APART = 0.5  # mm by which slices may lie farther apart than the header says


@dataclass(frozen=True)
class SingleBand:
    """What single-band lines tell of a group: ACS `(slice, coil, ky, kx)`, its slices, and what is wrong with it."""

    acs: Tensor
    bands: Bands
    flaws: tuple[str, ...]


class SingleBands:
    """Takes the lines that only calibrate, of the reference encoding, slice by slice.

    Of each slice those with the counters of its first one calibrate: the first contrast, or repetition. `has_blips`:
    they bear the phase of the blips as well, which is taken off.
    """

    def __init__(self, who: str, scan: Scan, multiband: Multiband, *, has_blips: bool) -> None:
        counters = multiband.reference.counters
        if multiband.reference.index == multiband.encoding.index:  # whose limits may be those of groups
            counters = {**counters, "slice": None}
        self._reference = replace(multiband.reference, counters=counters)
        encodings = [self._reference if one.index == self._reference.index else one for one in scan.encodings]
        self._admission = Admission(who, replace(scan, encodings=tuple(encodings)))
        self._who, self._multiband, self._n_lines = who, multiband, 0
        self._lines: dict[int, KSpaceLines] = {}
        self._first: dict[int, ImageKey] = {}
        self._used: set[int] = set()
        self._phases: Tensor | None = None
        if has_blips:
            self._phases = blip_phase(self._reference.encoded_matrix[1], multiband.shifts).conj().resolve_conj()

    def concern(self, line: ismrmrd.Acquisition) -> bool:
        """Whether a line is one of a single band: in an encoding of its own, flagged or not."""
        if line.encoding_space_ref != self._reference.index:
            return False
        is_apart = self._reference.index != self._multiband.encoding.index
        return flags.is_calibration_only(line) or (is_apart and role_of(line).fills_image)

    def take(self, line: ismrmrd.Acquisition) -> Iterator[Aside]:
        """Add a line to those of its slice; warn of the first that has no place."""
        number, key = self._n_lines, ImageKey.of(line)
        self._n_lines += 1
        line = without_untold_oversampling(self._reference, line)
        if is_reversed := flags.is_reversed(line):
            line = turned_round(line)
        reason = self._admission.refuses(line, Role.CALIBRATION, key, None, has_left=False, is_reversed=is_reversed)
        first = self._first.setdefault(key.slice, key)
        if reason is None and key == first and key.slice in self._used:
            reason = "it came after its slice had been calibrated"
        if reason is not None:
            yield from self._admission.set_aside(key, number, f"single-band line: {reason}")
            return
        if key == first:
            if key.slice not in self._lines:
                self._lines[key.slice] = KSpaceLines(self._reference, *line.data.shape)
            place = place_of(self._reference, line)
            self._lines[key.slice].add(self._without_blip(line, place.row), place)

    def of(self, group: int) -> SingleBand | None:
        """Return what tells a group's slices apart; None before lines of all came. Later ones are set aside."""
        slices = self._multiband.slices(group)
        if not slices or self._lacking(group):
            return None
        self._used.update(slices)
        found = [self._lines[number] for number in slices]
        cut = [flagged_lines(lines, lines) for lines in found]
        n_rows = min(0 if lines is None else lines.acs.shape[-2] for lines in cut)
        if n_rows < FEWEST:
            raise ScanError(
                f"{self._who}: {counted(n_rows, 'adjacent single-band line')} of slices {_list(slices)}, at least "
                f"{FEWEST} expected"
            )
        positions = tuple(tuple(lines.header.position) for lines in found)
        bands = Bands(slices, positions, self._multiband.shifts)
        acs = torch.stack([resize(lines.acs[0], [n_rows], [-2]) for lines in cut])
        return SingleBand(acs, bands, (*_flaws(slices, cut), *self._misplaced(found)))

    def _lacking(self, group: int) -> list[int]:
        """Slices of a group of which no line came."""
        return [number for number in self._multiband.slices(group) if number not in self._lines]

    def problems(self, groups: Sequence[int]) -> list[str]:
        """Say what went wrong, and of `groups` that cannot be unfolded why, a sentence each."""
        found = self._admission.problems()
        if groups and not self._lines:
            return [*found, f"multiband {self._multiband.factor}: no single-band lines"]
        for group in groups:
            slices = _list(self._multiband.slices(group))
            found += [
                f"no single-band lines of slice {number}, so slices {slices}, excited at once, cannot be told apart"
                for number in self._lacking(group)[:1]
            ]
        return found

    def _without_blip(self, line: ismrmrd.Acquisition, row: int) -> ismrmrd.Acquisition:
        if self._phases is None:
            return line
        band = (line.idx.slice - self._multiband.first_slice) // self._multiband.n_groups
        return ismrmrd.Acquisition(line.getHead(), line.data * self._phases[band, row].numpy())

    def _misplaced(self, found: Sequence[KSpaceLines]) -> list[str]:
        """What is to be said of slices that lie elsewhere than the header says."""
        if self._multiband.spacing is None:
            return []
        for before, after in pairwise(found):
            along = zip(after.header.position, before.header.position, after.header.slice_dir, strict=True)
            distance = abs(sum((a - b) * direction for a, b, direction in along))
            if abs(distance - abs(self._multiband.spacing)) > APART:
                return [f"single-band slices lie {distance:g} mm apart, the header says {self._multiband.spacing:g} mm"]
        return []


def _flaws(slices: Sequence[int], cut: Sequence[CalibrationLines]) -> list[str]:
    return [f"slice {number}: {lines.flaw}" for number, lines in zip(slices, cut, strict=True) if lines.flaw]


def _list(slices: Sequence[int]) -> str:
    return ", ".join(map(str, slices))
