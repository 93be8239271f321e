"""The door for lines that come one by one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import torch

from gadgets.departure import Departure
from gadgets.gadget import Device, Gadget
from gadgets.items import Aside, Calibration, ReconBuffer
from gadgets.mrd import ismrmrd
from gadgets.receiving.image_lines import ImageKey
from gadgets.receiving.joined_echoes import JoinEchoes, join_echoes
from gadgets.receiving.noted_line import without_notes
from gadgets.receiving.room import AcsLines, receive
from gadgets.scan import Scan, require_cartesian
from kband_core.device import choose_device


@dataclass
class AcquisitionBuffer(Gadget):
    """Buffer lines by counters; send a slice's `Calibration` when it is complete, then its images.

    An image with flagged calibration lines, or with `acs_lines` central lines, calibrates itself: the patient may have
    moved since the one before. Others take the latest calibration of their slice and encoding.

    An image leaves when the lines that the header lets expect are in, else at the end. Only where the header leaves
    open how many lines there are, the scanner's last-line flags, or the slice's next repetition, send it earlier; and
    one that lacks lines leaves when the second repetition after its last line begins. A line that has no place, or that
    comes more often than announced, is set aside and told, in the image's comment as well. Held-out lines
    (navigation data with user flag 1) stay out of the image and judge it; it does not wait for them.
    """

    accepts: ClassVar[tuple[type, ...]] = (ismrmrd.Acquisition,)
    emits: ClassVar[tuple[type, ...]] = (Calibration, ReconBuffer)

    acs_lines: AcsLines = 24
    join_echoes: JoinEchoes = False
    device: Device = "auto"

    def open(self, scan: Scan) -> None:
        """Refuse trajectories and accelerations that cannot be reconstructed; choose the device."""
        require_cartesian(scan, self.label())
        self._scan = scan
        self._device = choose_device(self.device)

    @property
    def computes_on(self) -> torch.device:
        """Where the buffers go."""
        return self._device

    def process(self, acquisitions: Iterable[ismrmrd.Acquisition]) -> Iterator[Calibration | ReconBuffer | Aside]:
        """Emit each image once, and warn of the first line that is set aside for a reason.

        Raises `ScanError` at the end if lines had no place or if images never began.
        """
        notes: dict[ImageKey, dict[str, str]] = {}
        items = receive(without_notes(acquisitions, notes), self.label(), self._scan, self.acs_lines)
        departure = Departure(self._device)
        for item in join_echoes(items) if self.join_echoes else items:
            if isinstance(item, ReconBuffer):
                item = replace(item, notes={**item.notes, **notes.pop(ImageKey.of(item.headers[0, 0, 0]), {})})
            yield departure.send(item)
