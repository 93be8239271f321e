"""Which pieces follow each message number: the one place that knows, for sockets and files alike."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from gadgets.mrd import ismrmrd
from pipelines.protocol.framing import (
    ID_BYTES,
    LINE_HEADER_BYTES,
    Buffer,
    Id,
    Message,
    Source,
    Unsupported,
    WireError,
    bounded,
)
from pipelines.protocol.recon_bytes import recon_data

CONFIG_NAME_BYTES, WAVEFORM_HEADER_BYTES, IMAGE_HEADER_BYTES = 1024, 40, 198
LONGEST_HEADER = LINE_HEADER_BYTES  # of what is longer nothing is looked at here: a source may give nothing instead
COMPRESSED = 1 << 52 | 1 << 53  # flags 53 (ZFP) and 54 (NHLBI)
VERSION_AND_FLAGS = struct.Struct("<HQ")
COUNTS = ("number_of_samples", "active_channels", "trajectory_dimensions")
COUNT_OFFSETS = tuple(getattr(ismrmrd.AcquisitionHeader, name).offset for name in COUNTS)
PIXELS = dict(enumerate(map(np.dtype, ("u2", "i2", "u4", "i4", "f4", "f8", "c8", "c16")), start=1))
MOST_META = 1 << 20


def read_message(source: Source) -> Message:
    """Read one message. Raises `WireError` if it is unknown, too long or compressed, and what the source raises."""
    number = int.from_bytes(source.take(ID_BYTES, "a message number"), "little")
    return Message(number, tuple(body(number, source)))


def body(number: int, source: Source) -> Iterator[Buffer]:
    """Yield the pieces that follow a message number. Raises as `read_message` does."""
    layout = LAYOUTS.get(number)
    if layout is None:
        raise WireError(f"message number {number} is unknown; {', '.join(str(int(name)) for name in Id)} are known")
    n_bytes, most = 0, source.bounds.array
    for piece in layout(source):
        n_bytes += len(piece)
        if n_bytes > most:
            raise WireError(f"a message is longer than the {most:,} bytes that are accepted")
        yield piece


def _correlated(n_bytes: int, what: str, source: Source) -> Iterator[Buffer]:
    yield source.take(n_bytes, what)
    yield from source.text("<Q", what)


def _acquisition(source: Source) -> Iterator[Buffer]:
    head = source.take(LINE_HEADER_BYTES, "an acquisition header")
    _, flags = VERSION_AND_FLAGS.unpack_from(head)
    if flags & COMPRESSED:
        raise Unsupported("an acquisition is compressed (flag 53 or 54), which is not supported")
    samples, channels, dimensions = (int.from_bytes(head[at : at + 2], "little") for at in COUNT_OFFSETS)
    length = samples * (4 * dimensions + 8 * channels)
    yield head
    yield source.take(bounded(length, source.bounds.line, "an acquisition"), "an acquisition")


def _waveform(source: Source) -> Iterator[Buffer]:
    head = source.take(WAVEFORM_HEADER_BYTES, "a waveform header")
    header = ismrmrd.WaveformHeader.from_buffer_copy(head)
    length = 4 * header.channels * header.number_of_samples
    yield head
    yield source.take(bounded(length, source.bounds.line, "a waveform"), "a waveform")


def _image(source: Source) -> Iterator[Buffer]:
    head = source.take(IMAGE_HEADER_BYTES, "an image header")
    yield head
    header = ismrmrd.ImageHeader.from_buffer_copy(head)
    if header.data_type not in PIXELS:
        raise WireError(f"an image of data type {header.data_type}, 1 to 8 expected")
    yield from source.text("<Q", "image attributes")
    x, y, z = header.matrix_size
    length = x * y * z * header.channels * PIXELS[header.data_type].itemsize
    yield source.take(bounded(length, source.bounds.array, "an image"), "an image")


def _image_array(source: Source) -> Iterator[Buffer]:
    yield from source.array(8, "an image array")
    yield from source.array(IMAGE_HEADER_BYTES, "image headers")
    raw, n_meta = source.number("<Q", "image attributes")
    yield raw
    for _ in range(bounded(n_meta, MOST_META, "image attributes")):
        yield from source.text("<Q", "image attributes")
    raw, waveforms = source.number("<B", "waveforms")
    yield raw
    if waveforms:
        raise Unsupported("an image array with waveforms is not supported")
    headers = source.array(LINE_HEADER_BYTES, "acquisition headers")
    yield from source.optional(headers, "acquisition headers")


LAYOUTS: dict[int, Callable[[Source], Iterator[Buffer]]] = {
    Id.CONFIG_FILE: lambda source: iter((source.take(CONFIG_NAME_BYTES, "a configuration name"),)),
    Id.CONFIG_TEXT: lambda source: source.text("<I", "a configuration"),
    Id.HEADER: lambda source: source.text("<I", "a header"),
    Id.CLOSE: lambda _: iter(()),
    Id.TEXT: lambda source: source.text("<I", "a text"),
    Id.QUERY: partial(_correlated, 16, "a query"),
    Id.RESPONSE: partial(_correlated, 8, "a response"),
    Id.ERROR: lambda source: source.text("<Q", "an error"),
    Id.ACQUISITION: _acquisition,
    Id.WAVEFORM: _waveform,
    Id.IMAGE: _image,
    Id.RECON_DATA: recon_data,
    Id.IMAGE_ARRAY: _image_array,
}
