"""Gadgetron's ReconData as bytes: its pieces on the wire, and the arrays that are read from them."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import TypeAlias

import numpy as np

from gadgets.errors import ScanError
from pipelines.protocol.framing import LINE_HEADER_BYTES, Buffer, Message, Source, bounded

LINE_HEADER = np.dtype((np.void, LINE_HEADER_BYTES))
SAMPLING_BYTES = 56
MOST_BITS = 64

Lines: TypeAlias = tuple[np.ndarray, np.ndarray]  # k-space and headers of a buffer


def recon_data(source: Source) -> Iterator[Buffer]:
    """Yield the pieces of a ReconData message: buffers, each with the lines that calibrate it, if there are any."""
    raw, n_bits = source.number("<Q", "recon data")
    yield raw
    for _ in range(bounded(n_bits, MOST_BITS, "recon data")):
        yield from _buffer(source)
        yield from source.optional(_buffer(source), "a reference buffer")


def read_recon_data(message: Message) -> Iterator[tuple[Lines | None, Lines | None]]:
    """Read such a message: lines, and those that calibrate them; None where nothing was ever filled in.

    K-space is complex64 [slice s n coil kz ky kx], headers are void [slice s n kz ky]. Raises `ScanError` for arrays
    that cannot be, or do not belong together.
    """
    parts = iter(message.parts)
    (n_bits,) = struct.unpack("<Q", next(parts))
    for _ in range(n_bits):
        lines = _read_buffer(parts)
        yield lines, _read_buffer(parts) if next(parts) != b"\0" else None


def _buffer(source: Source) -> Iterator[Buffer]:
    yield from source.array(8, "k-space")
    for what in ("a trajectory", "a density"):
        yield from source.optional(source.array(4, what), what)
    yield from source.array(LINE_HEADER.itemsize, "acquisition headers")
    yield source.take(SAMPLING_BYTES, "a sampling description")


def _read_buffer(parts: Iterator[Buffer]) -> Lines | None:
    kspace = read_array(parts, np.dtype(np.complex64))
    for _ in ("trajectory", "density"):
        if next(parts) != b"\0":
            read_array(parts, np.dtype(np.float32))
    headers = read_array(parts, LINE_HEADER)
    next(parts)  # the sampling description repeats the header
    if kspace.size == headers.size == 0:
        return None
    if kspace.size == 0 or kspace.ndim != 7 or headers.shape != kspace.shape[:3] + kspace.shape[4:6]:
        raise ScanError(f"ReconData: k-space {kspace.shape} and headers {headers.shape} do not belong together")
    return kspace, headers


def read_array(parts: Iterator[Buffer], dtype: np.dtype) -> np.ndarray:
    """Read an array from the pieces rank, dimensions, bytes, its axes in C order: the reverse of the wire's.

    Rank 0 is how Gadgetron writes an array that was never filled: empty. Raises `ScanError` for impossible dimensions.
    """
    (rank,) = struct.unpack("<Q", next(parts))
    shape = struct.unpack(f"<{rank}Q", next(parts))
    flat = np.frombuffer(next(parts), dtype)
    if rank == 0:
        return flat
    try:
        return flat.reshape(shape[::-1])
    except (ValueError, OverflowError) as error:  # beside a 0 any length fits
        raise ScanError(f"ReconData: an array of {' × '.join(map(str, shape))} cannot be") from error
