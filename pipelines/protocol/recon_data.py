"""Gadgetron's ReconData message to our buffers."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from math import prod
from typing import Any, TypeAlias

import ismrmrd
import numpy as np
import torch

from gadgets import flags
from gadgets.errors import ScanError
from gadgets.items import ReconBuffer
from gadgets.receiving.calibration_lines import flaw_of, in_all_partitions, with_gaps
from gadgets.receiving.kspace_lines import acs_block, calibration_block, count_lines
from gadgets.scan import Encoding, Scan
from kband_core.sampling import Grid
from pipelines.protocol.messages import LINE_HEADER, decode_array
from pipelines.protocol.wire import Limits, Message

Lines: TypeAlias = tuple[np.ndarray, np.ndarray]  # k-space and headers of a buffer


def decode_recon_data(message: Message, scan: Scan) -> Iterator[ReconBuffer]:
    """Read the buffers of a ReconData message, one for each encoding space that has lines.

    Missing lines are zeros whose header has 0 samples. Raises `ScanError` for a buffer that does not fit its header.
    """
    parts = iter(message.parts)
    (n_bits,) = struct.unpack("<Q", next(parts))
    for _ in range(n_bits):
        buffer = _read_buffer(parts)
        reference = _read_buffer(parts) if next(parts) != b"\0" else None
        if buffer is not None:
            yield _buffer(*buffer, reference, scan)


def _read_buffer(parts: Iterator[Any]) -> Lines | None:
    """K-space [slice s n coil kz ky kx] and headers, void [slice s n kz ky]; None where nothing was ever filled in."""
    kspace = decode_array(parts, np.dtype(np.complex64))
    for _ in ("trajectory", "density"):
        if next(parts) != b"\0":
            decode_array(parts, np.dtype(np.float32))
    headers = decode_array(parts, LINE_HEADER)
    next(parts)  # the sampling description repeats the header
    if kspace.size == headers.size == 0:
        return None
    if kspace.size == 0 or kspace.ndim != 7 or headers.shape != kspace.shape[:3] + kspace.shape[4:6]:
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


def _buffer(kspace: np.ndarray, headers: np.ndarray, reference: Lines | None, scan: Scan) -> ReconBuffer:
    lines = _Lines(headers)
    first = next(map(tuple, np.argwhere(lines.mask)), None)
    if first is None:
        raise ScanError("ReconData: a buffer holds 0 acquired lines")
    encoding = scan.encoding(lines.header(first).encoding_space_ref)
    missing = _missing(kspace.shape, lines.header(first), encoding)
    kspace, mask = np.pad(kspace, missing), np.pad(lines.mask, missing[:3] + missing[4:6])
    central, counts = np.empty(mask.shape[:3], object), np.empty(mask.shape[:3], object)
    readout = (kspace.shape[-1], 0)
    acs, row, gaps = _calibration(reference, kspace, mask, encoding)
    for index in np.ndindex(mask.shape[:3]):
        found = [tuple(at) for at in np.argwhere(lines.mask[index])]
        if not found:
            continue
        parsed = {at: lines.header((*index, *at)) for at in found}
        central[index] = parsed[min(found, key=lambda at: _distance(at, encoding))]
        on_grid = np.zeros(mask.shape[-1], bool)
        on_grid[[at[1] for at, header in parsed.items() if not flags.is_calibration(header)]] = True
        counts[index] = count_lines(
            encoding, mask[index].astype(int), on_grid, n_averages=encoding.n_averages, gaps=gaps[index[0]],
            ends_seen=any(map(flags.first_in_loop, parsed.values())) and any(map(flags.last_in_loop, parsed.values())),
        )  # fmt: skip
        before = min(header.discard_pre for header in parsed.values())
        after = max(header.number_of_samples - header.discard_post for header in parsed.values())
        readout = (min(readout[0], before), max(readout[1], min(after, kspace.shape[-1])))
    filled = mask.any((1, 2, 3, 4))  # a slice between others may have no lines
    if not mask[filled].any((2, 3, 4)).all():
        raise ScanError(f"ReconData: of {mask.shape[1]} images along S in a slice, one received no line")
    kspace, mask, central, counts, gaps = kspace[filled], mask[filled], central[filled], counts[filled], gaps[filled]
    acs = None if acs is None else acs[torch.from_numpy(filled)]
    return ReconBuffer(
        torch.from_numpy(kspace), Grid(torch.from_numpy(mask)[..., None]), central, counts, encoding, readout, acs, row,
        problems=tuple(flaw for flaw in map(flaw_of, gaps) if flaw),
    )  # fmt: skip


def _distance(at: tuple[int, ...], encoding: Encoding) -> int:
    """Rows and partitions from the centre."""
    _, n_rows, n_partitions = encoding.encoded_matrix
    return abs(at[1] - n_rows // 2) + abs(at[0] - n_partitions // 2)


def _missing(
    shape: tuple[int, ...], header: ismrmrd.AcquisitionHeader, encoding: Encoding
) -> list[tuple[int, int]]:
    """Entries to add before and behind each axis of k-space, where Gadgetron left them out.

    Without `parallelImaging` in the header its buffers have only the rows up to maximum − minimum, still counted from
    the matrix's first row, and no samples to be discarded.
    """
    _, n_rows, n_partitions = encoding.encoded_matrix
    *batch, kz, ky, kx = shape
    if ky > n_rows or kz > n_partitions:
        raise ScanError(f"ReconData: a buffer of {ky} × {kz} lines for a matrix of {n_rows} × {n_partitions}")
    samples, discarded = header.number_of_samples, (header.discard_pre, header.discard_post)
    allowed = sorted({encoding.readout_samples, encoding.encoded_matrix[0]})
    if samples not in allowed:
        raise ScanError(f"ReconData: lines of {samples} samples, {' or '.join(map(str, allowed))} expected")
    if kx not in (samples, samples - sum(discarded)):
        raise ScanError(f"ReconData: k-space has {kx} samples along the readout, but its first header {samples}")
    n_bytes = 8 * prod((*batch, n_partitions, n_rows, samples))
    if n_bytes > Limits.array:
        raise ScanError(f"ReconData: a buffer of {n_bytes:,} bytes, at most {Limits.array:,} are accepted")
    along_readout = (0, 0) if kx == samples else discarded
    return [(0, 0)] * 4 + [(0, n_partitions - kz), (0, n_rows - ky), along_readout]


def _calibration(
    reference: Lines | None, kspace: np.ndarray, mask: np.ndarray, encoding: Encoding
) -> tuple[torch.Tensor | None, int | None, np.ndarray]:
    """ACS [slice z coil ky kx] of the reference's first s, or of the image's own 24 central lines.

    Further the row from which they may serve the image, and the lines that they lack, bool [slice kz ky].
    """
    image, image_rows = _averaged(kspace, mask), mask[:, 0].any((0, 1, 2))
    row, gaps = None, np.zeros((len(mask), *mask.shape[3:]), bool)
    if reference is None:
        window = np.zeros_like(image_rows)
        window[max(len(window) // 2 - 12, 0) : len(window) // 2 + 12] = True
        lines, block = image, acs_block(image_rows & window)
    else:
        acquired = _Lines(reference[1]).mask
        if reference[0].shape[0] != len(image) or reference[0].shape[3] != image.shape[1]:
            raise ScanError(
                f"ReconData: reference k-space {reference[0].shape} does not belong to k-space {kspace.shape}"
            )
        lines, rows = _averaged(reference[0], acquired), acquired[:, 0].any((0, 1, 2))
        is_embedded = encoding.calibration_mode == "embedded" and lines.shape == image.shape
        if is_embedded and rows.any():
            flagged = np.flatnonzero(rows)
            unflagged = image_rows & ~rows  # a scanner may flag only the extra lines
            unflagged[: flagged[0]] = unflagged[flagged[-1] :] = False
            lines, rows = np.where(unflagged[:, None], image, lines), rows | unflagged
        image_lines = mask[:, 0].any(1) if is_embedded else np.zeros((), bool)
        present, gaps = with_gaps(acquired[:, 0].any(1), image_lines, embedded=is_embedded)
        block = acs_block(rows & ~gaps.any((0, 1)))
        of_slices = present[acquired.any((1, 2, 3, 4))]  # a slice between others may have no lines
        row = block.start if is_embedded and in_all_partitions(of_slices, block, encoding) else None
    if block.stop == block.start:
        return None, None, gaps
    return torch.stack([calibration_block(torch.from_numpy(one.copy()), block) for one in lines]), row, gaps


def _averaged(kspace: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """K-space [slice coil kz ky kx] of the first s, each line averaged over the n that hold it."""
    times = np.maximum(mask[:, 0].sum(1), 1).astype(np.float32)
    return kspace[:, 0].sum(1) / times[:, None, :, :, None]
