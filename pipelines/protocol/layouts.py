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
    Bounds,
    Buffer,
    Id,
    Message,
    Take,
    Unsupported,
    WireError,
    array,
    bounded,
    number,
    optional,
    text,
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


def read_message(take: Take, bounds: Bounds) -> Message:
    """Read one message. Raises `WireError` if it is unknown, too long or compressed, and what `take` raises."""
    kind = int.from_bytes(take(ID_BYTES, "a message number"), "little")
    return Message(kind, tuple(body(kind, take, bounds)))


def body(kind: int, take: Take, bounds: Bounds) -> Iterator[Buffer]:
    """Yield the pieces that follow a message number. Raises as `read_message` does."""
    if kind not in LAYOUTS:
        raise WireError(f"message number {kind} is unknown; {', '.join(str(int(name)) for name in Id)} are known")
    n_bytes = 0
    for piece in LAYOUTS[kind](take, bounds):
        n_bytes += len(piece)
        if n_bytes > bounds.array:
            raise WireError(f"a message is longer than the {bounds.array:,} bytes that are accepted")
        yield piece


def _of_length(n_bytes: int, what: str, take: Take, _: Bounds) -> Iterator[Buffer]:
    yield take(n_bytes, what)


def _text(form: str, what: str, take: Take, bounds: Bounds) -> Iterator[Buffer]:
    return text(take, bounds, form, what)


def _correlated(n_bytes: int, what: str, take: Take, bounds: Bounds) -> Iterator[Buffer]:
    yield take(n_bytes, what)
    yield from text(take, bounds, "<Q", what)


def _acquisition(take: Take, bounds: Bounds) -> Iterator[Buffer]:
    head = take(LINE_HEADER_BYTES, "an acquisition header")
    _, flags = VERSION_AND_FLAGS.unpack_from(head)
    if flags & COMPRESSED:
        raise Unsupported("an acquisition is compressed (flag 53 or 54), which is not supported")
    samples, channels, dimensions = (int.from_bytes(head[at : at + 2], "little") for at in COUNT_OFFSETS)
    length = samples * (4 * dimensions + 8 * channels)
    yield head
    yield take(bounded(length, bounds.line, "an acquisition"), "an acquisition")


def _waveform(take: Take, bounds: Bounds) -> Iterator[Buffer]:
    head = take(WAVEFORM_HEADER_BYTES, "a waveform header")
    header = ismrmrd.WaveformHeader.from_buffer_copy(head)
    length = 4 * header.channels * header.number_of_samples
    yield head
    yield take(bounded(length, bounds.line, "a waveform"), "a waveform")


def _image(take: Take, bounds: Bounds) -> Iterator[Buffer]:
    head = take(IMAGE_HEADER_BYTES, "an image header")
    yield head
    header = ismrmrd.ImageHeader.from_buffer_copy(head)
    if header.data_type not in PIXELS:
        raise WireError(f"an image of data type {header.data_type}, 1 to 8 expected")
    yield from text(take, bounds, "<Q", "image attributes")
    x, y, z = header.matrix_size
    length = x * y * z * header.channels * PIXELS[header.data_type].itemsize
    yield take(bounded(length, bounds.array, "an image"), "an image")


def _image_array(take: Take, bounds: Bounds) -> Iterator[Buffer]:
    yield from array(take, bounds, 8, "an image array")
    yield from array(take, bounds, IMAGE_HEADER_BYTES, "image headers")
    raw, n_meta = number(take, "<Q", "image attributes")
    yield raw
    for _ in range(bounded(n_meta, MOST_META, "image attributes")):
        yield from text(take, bounds, "<Q", "image attributes")
    raw, waveforms = number(take, "<B", "waveforms")
    yield raw
    if waveforms:
        raise Unsupported("an image array with waveforms is not supported")
    headers = array(take, bounds, LINE_HEADER_BYTES, "acquisition headers")
    yield from optional(take, headers, "acquisition headers")


LAYOUTS: dict[int, Callable[[Take, Bounds], Iterator[Buffer]]] = {
    Id.CONFIG_FILE: partial(_of_length, CONFIG_NAME_BYTES, "a configuration name"),
    Id.CONFIG_TEXT: partial(_text, "<I", "a configuration"),
    Id.HEADER: partial(_text, "<I", "a header"),
    Id.CLOSE: lambda *_: iter(()),
    Id.TEXT: partial(_text, "<I", "a text"),
    Id.QUERY: partial(_correlated, 16, "a query"),
    Id.RESPONSE: partial(_correlated, 8, "a response"),
    Id.ERROR: partial(_text, "<Q", "an error"),
    Id.ACQUISITION: _acquisition,
    Id.WAVEFORM: _waveform,
    Id.IMAGE: _image,
    Id.RECON_DATA: recon_data,
    Id.IMAGE_ARRAY: _image_array,
}
