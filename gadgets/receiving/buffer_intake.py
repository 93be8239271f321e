"""The second way in: buffers that Gadgetron's BucketToBuffer has made."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from gadgets.errors import ScanError
from gadgets.gadget import Device, Gadget
from gadgets.items import LineCount, ReconBuffer
from gadgets.receiving.expected_images import missing_images
from gadgets.receiving.image_lines import ImageKey
from gadgets.scan import Scan, require_cartesian
from kband_core.device import choose_device
from kband_core.sampling import Grid


@dataclass
class BufferIntake(Gadget):
    """Take buffers whose N axis is the average, merge the averages, and move them to the computing device."""

    accepts: ClassVar[tuple[type, ...]] = (ReconBuffer,)
    emits: ClassVar[tuple[type, ...]] = (ReconBuffer,)

    device: Device = "auto"

    def open(self, scan: Scan) -> None:
        """Refuse trajectories and accelerations that cannot be reconstructed; choose the device."""
        require_cartesian(scan, "BufferIntake")
        self._scan = scan
        self.computes_on = choose_device(self.device)

    def process(self, buffers: Iterable[ReconBuffer]) -> Iterator[ReconBuffer]:
        """Emit each buffer with N = 1. Raises `ScanError` at the end if images never came."""
        came: set[ImageKey] = set()
        for buffer in buffers:
            merged = _merge_averages(buffer)
            came.update(ImageKey.of(header) for header in merged.headers.flat if header is not None)
            yield merged.to(self.computes_on)
        if problems := missing_images(self._scan, came):
            raise ScanError("BufferIntake: " + "; ".join(problems))


def _merge_averages(buffer: ReconBuffer) -> ReconBuffer:
    """Average each line over the N entries that hold it."""
    times = buffer.sampling.mask.sum(2, keepdim=True)
    kspace = buffer.kspace.sum(2, keepdim=True) / times.clamp(min=1).unsqueeze(3)
    headers, counts = (np.empty((*buffer.headers.shape[:2], 1), object) for _ in range(2))
    for index in np.ndindex(headers.shape[:2]):
        headers[index][0] = next((header for header in buffer.headers[index] if header is not None), None)
        parts = [count for count in buffer.counts[index] if count is not None]
        expected = None if any(part.expected is None for part in parts) else max((p.expected for p in parts), default=0)
        counts[index][0] = LineCount(sum(part.received for part in parts), expected)
    return replace(buffer, kspace=kspace, sampling=Grid(times > 0), headers=headers, counts=counts)
