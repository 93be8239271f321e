"""Run one gadget over lines made to order, of a scan made to order."""

from dataclasses import replace
from typing import Any

from gadgets.items import ReconBuffer
from gadgets.receiving.acquisition_buffer import AcquisitionBuffer
from gadgets.scan import Scan

N_COILS, N_LINES, N_SAMPLES = 3, 8, 6


def with_encoding(scan: Scan, index: int = 0, **fields: Any) -> Scan:
    """The same scan, of whose encodings one has other `fields` than its header could be made to say in few words."""
    encodings = list(scan.encodings)
    encodings[index] = replace(encodings[index], **fields)
    return replace(scan, encodings=tuple(encodings))


def buffer_of(scan, **properties) -> AcquisitionBuffer:
    gadget = AcquisitionBuffer(device="cpu", **properties)
    gadget.open(scan)
    return gadget


def images(scan, lines, **properties) -> list[ReconBuffer]:
    return [item for item in buffer_of(scan, **properties).process(lines) if isinstance(item, ReconBuffer)]


def emitted_after(scan, lines, **properties) -> list[tuple[int, object]]:
    """What leaves, each with the number of lines that had been read by then."""
    n_read = 0

    def counted():
        nonlocal n_read
        for line in lines:
            n_read += 1
            yield line

    return [(n_read, item) for item in buffer_of(scan, **properties).process(counted())]
