"""Gadgetron's ReconData message to our buffers."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import ismrmrd
import numpy as np
import torch

from gadgets import flags
from gadgets.errors import ScanError
from gadgets.items import ReconBuffer
from gadgets.kspace_lines import acs_block, calibration_block, count_lines
from gadgets.scan import Encoding, Scan
from pipelines.hosts.messages import LINE_HEADER, decode_array
from pipelines.hosts.wire import Message


def decode_recon_data(message: Message, scan: Scan) -> Iterator[ReconBuffer]:
    """Read the buffers of a ReconData message, one for each encoding space that has lines.

    Missing lines are zeros whose header has 0 samples. Raises `ScanError` for a buffer that does not fit its header.
    """
    parts = iter(message.parts)
    (n_bits,) = struct.unpack("<Q", next(parts))
    for _ in range(n_bits):
        kspace, headers = _read_buffer(parts)
        reference = _read_buffer(parts) if next(parts) != b"\0" else None
        if headers.size:
            yield _buffer(kspace, headers, reference, scan)


def _read_buffer(parts: Iterator[Any]) -> tuple[np.ndarray, np.ndarray]:
    """K-space [slice s n coil kz ky kx] and headers, void [slice s n kz ky]."""
    kspace = decode_array(parts, np.dtype(np.complex64))
    for _ in ("trajectory", "density"):
        if next(parts) != b"\0":
            decode_array(parts, np.dtype(np.float32))
    headers = decode_array(parts, LINE_HEADER)
    next(parts)  # the sampling description repeats the header
    if kspace.ndim != 7 or headers.shape != kspace.shape[:3] + kspace.shape[4:6]:
        raise ScanError(f"ReconData: k-space {kspace.shape} and headers {headers.shape} do not belong together")
    return kspace, headers


class _Lines:
    """Headers of a buffer, [slice s n kz ky], parsed where a line was acquired."""

    def __init__(self, headers: np.ndarray) -> None:
        raw = np.ascontiguousarray(headers).view(np.uint8).reshape(*headers.shape, LINE_HEADER.itemsize)
        at = ismrmrd.AcquisitionHeader.number_of_samples.offset
        self.raw = raw
        self.mask = raw[..., at : at + 2].any(-1)

    def header(self, index: tuple[int, ...]) -> ismrmrd.AcquisitionHeader:
        """Parse one header."""
        return ismrmrd.AcquisitionHeader.from_buffer_copy(self.raw[index].tobytes())


def _buffer(
    kspace: np.ndarray, headers: np.ndarray, reference: tuple[np.ndarray, np.ndarray] | None, scan: Scan
) -> ReconBuffer:
    lines = _Lines(headers)
    first = next(map(tuple, np.argwhere(lines.mask)), None)
    if first is None:
        raise ScanError("ReconData: a buffer holds 0 acquired lines")
    encoding = scan.encoding(lines.header(first).encoding_space_ref)
    _, n_rows, n_partitions = encoding.encoded_matrix
    kz, ky = kspace.shape[4:6]
    if ky > n_rows or kz > n_partitions:
        raise ScanError(f"ReconData: a buffer of {ky} × {kz} lines for a matrix of {n_rows} × {n_partitions}")
    missing = [(0, 0)] * 4 + [(0, n_partitions - kz), (0, n_rows - ky), (0, 0)]
    kspace = np.pad(kspace, missing)
    mask = np.pad(lines.mask, [(0, 0)] * 3 + missing[4:6])
    central, counts = np.empty(mask.shape[:3], object), np.empty(mask.shape[:3], object)
    readout = (kspace.shape[-1], 0)
    for index in np.ndindex(mask.shape[:3]):
        found = [tuple(at) for at in np.argwhere(lines.mask[index])]
        if not found:
            continue
        parsed = {at: lines.header((*index, *at)) for at in found}
        centre = min(found, key=lambda at: abs(at[1] - n_rows // 2) + abs(at[0] - n_partitions // 2))
        central[index] = parsed[centre]
        on_grid = np.zeros(n_rows, bool)
        on_grid[[at[1] for at, header in parsed.items() if not flags.is_calibration(header)]] = True
        counts[index] = count_lines(
            encoding, mask[index].astype(int), on_grid, n_averages=encoding.n_averages,
            ends_seen=any(map(flags.first_in_loop, parsed.values())) and any(map(flags.last_in_loop, parsed.values())),
        )  # fmt: skip
        before = min(header.discard_pre for header in parsed.values())
        after = max(header.number_of_samples - header.discard_post for header in parsed.values())
        readout = (min(readout[0], before), max(readout[1], min(after, kspace.shape[-1])))
    acs, row = _calibration(reference, kspace, mask, encoding)
    return ReconBuffer(
        torch.from_numpy(kspace), torch.from_numpy(mask), central, counts, encoding, readout, acs, row
    )


def _calibration(
    reference: tuple[np.ndarray, np.ndarray] | None, kspace: np.ndarray, mask: np.ndarray, encoding: Encoding
) -> tuple[torch.Tensor | None, int | None]:
    """ACS [slice z coil ky kx] of the reference's first n and s, or of the image's own 24 central lines."""
    if reference is None:
        rows = mask[:, 0, 0].any((0, 1))
        window = np.zeros_like(rows)
        window[max(len(rows) // 2 - 12, 0) : len(rows) // 2 + 12] = True
        lines, block, row = kspace[:, 0, 0], acs_block(rows & window), None
    else:
        lines = reference[0][:, 0, 0]
        block = acs_block(_Lines(reference[1]).mask[:, 0, 0].any((0, 1)))
        row = block.start if encoding.calibration_mode == "embedded" and lines.shape[-2] == mask.shape[-1] else None
    if block.stop == block.start:
        return None, None
    return torch.stack([calibration_block(torch.from_numpy(one.copy()), block) for one in lines]), row
