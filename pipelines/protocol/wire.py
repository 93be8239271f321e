"""MRD messages on a socket: whole messages in and out, every length bounded before anything is allocated."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import ismrmrd
import numpy as np

Buffer = bytes | bytearray | memoryview


class Id(IntEnum):
    """Message numbers of the protocol."""

    CONFIG_FILE = 1
    CONFIG_TEXT = 2
    HEADER = 3
    CLOSE = 4
    TEXT = 5
    QUERY = 6
    RESPONSE = 7
    ERROR = 8
    ACQUISITION = 1008
    IMAGE = 1022
    RECON_DATA = 1023
    IMAGE_ARRAY = 1024
    WAVEFORM = 1026


class Message(NamedTuple):
    """One message: its number and its body, in pieces as they came."""

    id: int
    parts: tuple[Buffer, ...] = ()

    @property
    def body(self) -> bytes:
        return b"".join(self.parts)

    @property
    def size(self) -> int:
        """Bytes on the wire."""
        return 2 + sum(map(len, self.parts))


CLOSE = Message(Id.CLOSE)


@dataclass(frozen=True)
class Limits:
    """Largest sizes accepted from a peer, in bytes."""

    text: int = 4 << 20  # config, header, text, query, error, attributes
    line: int = 64 << 20  # an acquisition or a waveform
    array: int = 4 << 30  # an image, a buffer, an image array; and any message as a whole


class WireError(ConnectionError):
    """The peer broke the protocol, or the connection broke: this session cannot go on."""


COMPRESSED = 1 << 52 | 1 << 53  # flags 53 (ZFP) and 54 (NHLBI)
CONFIG_NAME_BYTES = 1024
VERSION_AND_FLAGS = struct.Struct("<HQ")
COUNTS = ("number_of_samples", "active_channels", "trajectory_dimensions")
COUNT_OFFSETS = tuple(getattr(ismrmrd.AcquisitionHeader, name).offset for name in COUNTS)
PIXELS = dict(enumerate(map(np.dtype, ("u2", "i2", "u4", "i4", "f4", "f8", "c8", "c16")), start=1))
LINE_HEADER_BYTES, WAVEFORM_HEADER_BYTES, IMAGE_HEADER_BYTES, SAMPLING_BYTES = 340, 40, 198, 56
SMALL = 4096  # bytes
MOST_DIMENSIONS, MOST_BITS = 16, 64


class Wire:
    """A connected socket that reads and writes whole messages. Reading belongs to one thread; anyone may send."""

    def __init__(self, connection: socket.socket, limits: Limits = Limits()) -> None:
        self.socket = connection
        self.limits = limits
        self._sending = threading.Lock()
        self._readers: dict[int, Callable[[], Iterator[Buffer]]] = {
            Id.CONFIG_FILE: lambda: iter((self.take(CONFIG_NAME_BYTES, "a configuration name"),)),
            Id.CONFIG_TEXT: lambda: self._text("<I", "a configuration"),
            Id.HEADER: lambda: self._text("<I", "a header"),
            Id.CLOSE: lambda: iter(()),
            Id.TEXT: lambda: self._text("<I", "a text"),
            Id.QUERY: lambda: self._correlated(16, "a query"),
            Id.RESPONSE: lambda: self._correlated(8, "a response"),
            Id.ERROR: lambda: self._text("<Q", "an error"),
            Id.ACQUISITION: self._acquisition,
            Id.WAVEFORM: self._waveform,
            Id.IMAGE: self._image,
            Id.RECON_DATA: self._recon_data,
            Id.IMAGE_ARRAY: self._image_array,
        }

    def read(self) -> Message:
        """Read the next message.

        Raises `WireError` if the peer vanishes, with what was being read and how much of it came; if the message is
        unknown, too long, or compressed. `TimeoutError` comes from the socket's own timeout.
        """
        number = int.from_bytes(self.take(2, "a message number"), "little")
        reader = self._readers.get(number)
        if reader is None:
            raise WireError(f"message number {number} is unknown; {', '.join(str(int(name)) for name in Id)} are known")
        return Message(number, tuple(self._whole(reader())))

    def send(self, *messages: Message) -> None:
        """Send messages, back to back. Raises as `read` does; `BlockingIOError` is the system's own timeout."""
        pieces = [piece for m in messages for piece in (m.id.to_bytes(2, "little"), *m.parts)]
        pieces = [b"".join(pieces)] if sum(map(len, pieces)) < 1 << 16 else pieces
        try:
            with self._sending:
                for piece in pieces:
                    self.socket.sendall(piece)
        except (TimeoutError, BlockingIOError):
            raise
        except OSError as error:
            raise WireError(f"peer closed while a message was sent ({error.strerror or error})") from error

    def close(self) -> None:
        """Close the socket."""
        self.socket.close()

    def take(self, n_bytes: int, what: str) -> Buffer:
        """Read exactly `n_bytes`, which must have been bounded. Raises `WireError` if the peer closes before."""
        n_read = 0
        try:
            if 0 < n_bytes <= SMALL:  # mostly numbers and headers, which come in one piece
                piece = self.socket.recv(n_bytes, socket.MSG_WAITALL)
                n_read = len(piece)
                if n_read == n_bytes:
                    return piece
            buffer = memoryview(np.empty(n_bytes, np.uint8))
            if n_read:
                buffer[:n_read] = piece
            while n_read < n_bytes and (got := self.socket.recv_into(buffer[n_read:], 0, socket.MSG_WAITALL)):
                n_read += got
        except TimeoutError:
            raise
        except OSError:
            buffer = b""  # a peer that dies with our bytes unread resets the connection; a network may break
        if len(buffer) != n_bytes or n_read < n_bytes:
            raise WireError(f"peer closed while {what} was read: {n_read:,} of {n_bytes:,} bytes")
        return buffer

    def _whole(self, pieces: Iterator[Buffer]) -> Iterator[Buffer]:
        n_bytes = 0
        for piece in pieces:
            n_bytes += len(piece)
            if n_bytes > self.limits.array:
                raise WireError(f"a message is longer than the {self.limits.array:,} bytes that are accepted")
            yield piece

    def _bounded(self, n_bytes: int, limit: int, what: str) -> int:
        if n_bytes > limit:
            raise WireError(f"{what} of {n_bytes:,} bytes announced, at most {limit:,} are accepted")
        return n_bytes

    def _number(self, form: str, what: str) -> tuple[Buffer, int]:
        raw = self.take(struct.calcsize(form), what)
        return raw, struct.unpack(form, raw)[0]

    def _text(self, form: str, what: str) -> Iterator[Buffer]:
        raw, length = self._number(form, f"the length of {what}")
        yield raw
        yield self.take(self._bounded(length, self.limits.text, what), what)

    def _correlated(self, n_bytes: int, what: str) -> Iterator[Buffer]:
        yield self.take(n_bytes, what)
        yield from self._text("<Q", what)

    def _acquisition(self) -> Iterator[Buffer]:
        head = self.take(LINE_HEADER_BYTES, "an acquisition header")
        _, flags = VERSION_AND_FLAGS.unpack_from(head)
        if flags & COMPRESSED:
            raise WireError("an acquisition is compressed (flag 53 or 54), which is not supported")
        samples, channels, dimensions = (int.from_bytes(head[at : at + 2], "little") for at in COUNT_OFFSETS)
        length = samples * (4 * dimensions + 8 * channels)
        yield head
        yield self.take(self._bounded(length, self.limits.line, "an acquisition"), "an acquisition")

    def _waveform(self) -> Iterator[Buffer]:
        head = self.take(WAVEFORM_HEADER_BYTES, "a waveform header")
        header = ismrmrd.WaveformHeader.from_buffer_copy(head)
        length = 4 * header.channels * header.number_of_samples
        yield head
        yield self.take(self._bounded(length, self.limits.line, "a waveform"), "a waveform")

    def _image(self) -> Iterator[Buffer]:
        head = self.take(IMAGE_HEADER_BYTES, "an image header")
        yield head
        header = ismrmrd.ImageHeader.from_buffer_copy(head)
        if header.data_type not in PIXELS:
            raise WireError(f"an image of data type {header.data_type}, 1 to 8 expected")
        yield from self._text("<Q", "image attributes")
        x, y, z = header.matrix_size
        length = x * y * z * header.channels * PIXELS[header.data_type].itemsize
        yield self.take(self._bounded(length, self.limits.array, "an image"), "an image")

    def _array(self, item_bytes: int, what: str) -> Iterator[Buffer]:
        raw, n_dimensions = self._number("<Q", f"the rank of {what}")
        yield raw
        self._bounded(n_dimensions, MOST_DIMENSIONS, f"the rank of {what}")
        raw = self.take(8 * n_dimensions, f"the dimensions of {what}")
        yield raw
        length = item_bytes
        for dimension in struct.unpack(f"<{n_dimensions}Q", raw):
            length *= dimension
        yield self.take(self._bounded(length if n_dimensions else 0, self.limits.array, what), what)

    def _optional(self, read: Callable[[], Iterator[Buffer]], what: str) -> Iterator[Buffer]:
        raw, present = self._number("<B", what)
        yield raw
        if present:
            yield from read()

    def _recon_data(self) -> Iterator[Buffer]:
        raw, n_bits = self._number("<Q", "recon data")
        yield raw
        for _ in range(self._bounded(n_bits, MOST_BITS, "recon data")):
            yield from self._recon_buffer()
            yield from self._optional(self._recon_buffer, "a reference buffer")

    def _recon_buffer(self) -> Iterator[Buffer]:
        yield from self._array(8, "k-space")
        for what in ("a trajectory", "a density"):
            yield from self._optional(lambda what=what: self._array(4, what), what)
        yield from self._array(LINE_HEADER_BYTES, "acquisition headers")
        yield self.take(SAMPLING_BYTES, "a sampling description")

    def _image_array(self) -> Iterator[Buffer]:
        yield from self._array(8, "an image array")
        yield from self._array(IMAGE_HEADER_BYTES, "image headers")
        raw, n_meta = self._number("<Q", "image attributes")
        yield raw
        for _ in range(self._bounded(n_meta, 1 << 20, "image attributes")):
            yield from self._text("<Q", "image attributes")
        raw, waveforms = self._number("<B", "waveforms")
        yield raw
        if waveforms:
            raise WireError("an image array with waveforms is not supported")
        yield from self._optional(lambda: self._array(LINE_HEADER_BYTES, "acquisition headers"), "acquisition headers")
