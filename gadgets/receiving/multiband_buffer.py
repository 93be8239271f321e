"""The door for lines of several slices at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import torch

from gadgets.bands import Multiband
from gadgets.departure import Departure
from gadgets.encoding import Encoding
from gadgets.errors import ScanError
from gadgets.gadget import Device, Gadget, field
from gadgets.items import Aside, Calibration, ReconBuffer
from gadgets.mrd import ismrmrd
from gadgets.receiving.image_lines import ImageKey
from gadgets.receiving.noted_line import without_notes
from gadgets.receiving.place import without_untold_oversampling
from gadgets.receiving.role import role_of
from gadgets.receiving.room import ReceivingRoom
from gadgets.receiving.single_bands import SingleBand, SingleBands
from gadgets.scan import Scan
from kband_core.device import choose_device

MOST_WAITING = 64  # images: 0.4 GB at 256² and 12 coils
CENTRE = 4  # lines of the room's own calibration, of slices that are folded: it goes nowhere


@dataclass
class MultibandBuffer(Gadget):
    """Buffer lines of several slices at once, with the single-band lines that tell these apart.

    Single-band lines are flagged as calibration only, in the encoding that the header names, by default the last one.
    When those of all slices of a group are in, its `Calibration` goes ahead, at its first line; images that come before
    wait for it. Slices lie where their single-band lines were measured. A group of which a slice has none ends the scan
    with an error, behind the images of the others.
    """

    accepts: ClassVar[tuple[type, ...]] = (ismrmrd.Acquisition,)
    emits: ClassVar[tuple[type, ...]] = (Calibration, ReconBuffer)

    multiband: Annotated[int, field(ge=1, le=16, description="slices at once; 1: as the header says")] = 1
    fov_shift: Annotated[
        float,
        field(ge=-1, le=1, description="shift along y from slice to slice, in fields of view; 0: as the header says"),
    ] = 0.0
    reference_has_blips: Annotated[
        bool, field(description="single-band lines bear the phase of the blips, as those of CMRR sequences do")
    ] = False
    device: Device = "auto"

    def open(self, scan: Scan) -> None:
        """Read which slices are excited at once. Raises `ValueError` for other scans; choose the device."""
        self._multiband = Multiband.of(scan, self.multiband, self.fov_shift)
        self._scan = scan
        self._device = choose_device(self.device)

    def scan_behind(self, scan: Scan) -> Scan:
        """The scan with the encoding as its images see it."""
        return _with(scan, self._multiband.unfolded())

    @property
    def computes_on(self) -> torch.device:
        """Where the buffers go."""
        return self._device

    def process(self, lines: Iterable[ismrmrd.Acquisition]) -> Iterator[Calibration | ReconBuffer | Aside]:
        """Emit each group once for every contrast, repetition and so on.

        Raises `ScanError` at the end if lines had no place, groups never came, or cannot be told apart.
        """
        groups = _Groups(self.label(), self._scan, self._multiband, has_blips=self.reference_has_blips)
        departure = Departure(self._device)
        for item in groups.receive(lines):
            yield departure.send(item)
        if problems := groups.problems():
            raise ScanError(f"{self.label()}: {'; '.join(problems)}")


class _Groups:
    """Joins what the receiving room makes of folded lines with the single bands of their slices."""

    def __init__(self, who: str, scan: Scan, multiband: Multiband, *, has_blips: bool) -> None:
        self._who, self._multiband = who, multiband
        own = _with(scan, multiband.folded()).encodings[: multiband.encoding.index + 1]
        self._room = ReceivingRoom(who, replace(scan, encodings=own), CENTRE)
        self._single = SingleBands(who, scan, multiband, has_blips=has_blips)
        self._known: dict[int, SingleBand] = {}
        self._waiting: list[ReconBuffer] = []
        self._line_notes: dict[ImageKey, dict[str, str]] = {}

    def receive(self, lines: Iterable[ismrmrd.Acquisition]) -> Iterator[Calibration | ReconBuffer | Aside]:
        """Take a scan line by line, and send what is left at its end."""
        for line in without_notes(lines, self._line_notes):
            yield from self._take(line)
        yield from self._passed(self._room.close())
        for group in sorted({_group(buffer) for buffer in self._waiting}):
            yield from self._ahead(group, self._waiting[0].kspace.shape[-1])

    def _take(self, line: ismrmrd.Acquisition) -> Iterator[Calibration | ReconBuffer | Aside]:
        """Put a line where it belongs and let go what it completes."""
        if self._single.concern(line):
            yield from self._single.take(line)
            return
        if role_of(line).fills_image:
            if line.encoding_space_ref != self._multiband.encoding.index:
                raise ScanError(
                    f"{self._who}: a line is of encoding {line.encoding_space_ref}, whose slices are neither excited "
                    "at once nor calibrate any"
                )
            line = without_untold_oversampling(self._multiband.encoding, line)
            yield from self._ahead(line.idx.slice, line.number_of_samples)
        yield from self._passed(self._room.take(line))

    def problems(self) -> list[str]:
        """Say what is wrong with the scan as a whole, a sentence each."""
        left = sorted({_group(buffer) for buffer in self._waiting})
        return [*self._single.problems(left), *self._room.problems()]

    def _ahead(self, group: int, n_samples: int) -> Iterator[Calibration | ReconBuffer]:
        """Send the calibration of a group as soon as there is one, and the images that waited for it."""
        if group in self._known or (found := self._single.of(group)) is None:
            return
        self._known[group] = found
        encoding = self._multiband.unfolded()
        yield Calibration(found.acs, (encoding.encoded_matrix[1], n_samples), encoding, group)
        released = [buffer for buffer in self._waiting if _group(buffer) == group]
        self._waiting = [buffer for buffer in self._waiting if _group(buffer) != group]
        for buffer in released:
            yield self._joined(buffer)

    def _passed(self, items: Iterable[Calibration | ReconBuffer | Aside]) -> Iterator[ReconBuffer | Aside]:
        """Join each image of a group with its single bands, or let it wait; folded lines calibrate nothing."""
        for item in items:
            if isinstance(item, Aside):
                yield item
            elif isinstance(item, ReconBuffer) and _group(item) in self._known:
                yield self._joined(item)
            elif isinstance(item, ReconBuffer):
                if not self._waiting:
                    yield Aside("warning", f"{self._who}: images wait for single-band lines of their slices")
                self._waiting.append(item)
                if len(self._waiting) > MOST_WAITING:
                    raise ScanError(f"{self._who}: {'; '.join(self.problems())}")

    def _joined(self, buffer: ReconBuffer) -> ReconBuffer:
        found = self._known[_group(buffer)]
        return replace(
            buffer, encoding=self._multiband.unfolded(), acs=found.acs[None], acs_row=None, bands=found.bands,
            problems=(*buffer.problems, *found.flaws), notes=self._notes(buffer, found),
        )  # fmt: skip

    def _notes(self, buffer: ReconBuffer, found: SingleBand) -> dict[str, str]:
        """What lines brought along, but for the ghost, in whose place other slices lie; and what is folded."""
        notes = {**buffer.notes, **self._line_notes.pop(ImageKey.of(buffer.headers[0, 0, 0]), {})}
        if "kband_ghost" in notes:
            notes["kband_ghost"] = "unknown"
        slices = " and ".join(map(str, found.bands.slices))
        said = f"slices {slices} at once, each shifted by {self._multiband.shift:g} of the field of view from the last"
        return {**notes, "kband_multiband": f"{said}; numbering and blip phase of the converter not verified"}


def _with(scan: Scan, encoding: Encoding) -> Scan:
    """The scan with one encoding in the place of that of its number."""
    return replace(
        scan, encodings=tuple(encoding if one.index == encoding.index else one for one in scan.encodings)
    )


def _group(buffer: ReconBuffer) -> int:
    return buffer.headers[0, 0, 0].idx.slice
