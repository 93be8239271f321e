"""The door for buffers that Gadgetron's BucketToBuffer, or its twin, has made."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch

from gadgets.departure import Departure
from gadgets.gadget import Device, Gadget
from gadgets.items import Aside, Calibration, ReconBuffer, ReconData
from gadgets.receiving.joined_echoes import JoinEchoes, join_echoes
from gadgets.receiving.room import AcsLines, receive
from gadgets.scan import Scan, require_cartesian
from kband_core.device import choose_device


@dataclass
class BufferIntake(Gadget):
    """Take the lines of each buffer as `AcquisitionBuffer` takes those of the scanner: same images, same verdicts.

    Buffers have lost what comes twice: of two lines with the same counters they hold the last one.
    """

    accepts: ClassVar[tuple[type, ...]] = (ReconData,)
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

    def process(self, buffers: Iterable[ReconData]) -> Iterator[Calibration | ReconBuffer | Aside]:
        """Emit each image once, and warn of the first line that is set aside for a reason.

        Raises `ScanError` at the end if lines had no place or if images never began.
        """
        lines = (line for buffer in buffers for line in buffer.lines)
        items = receive(lines, self.label(), self._scan, self.acs_lines)
        departure = Departure(self._device)
        for item in join_echoes(items) if self.join_echoes else items:
            yield departure.send(item)
