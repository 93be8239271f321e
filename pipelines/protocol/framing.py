"""What an MRD 1 message is made of: a number, and pieces whose lengths are bounded before anything is allocated."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple, TypeAlias

Buffer: TypeAlias = bytes | bytearray | memoryview

ID_BYTES, LINE_HEADER_BYTES = 2, 340
MOST_DIMENSIONS = 16


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
        return ID_BYTES + sum(map(len, self.parts))

    def pieces(self) -> list[Buffer]:
        """All that goes over the wire, the number first."""
        return [self.id.to_bytes(ID_BYTES, "little"), *self.parts]


CLOSE = Message(Id.CLOSE)


@dataclass(frozen=True)
class Bounds:
    """Largest sizes accepted, in bytes."""

    text: int = 4 << 20  # config, header, text, query, error, attributes
    line: int = 64 << 20  # an acquisition or a waveform
    array: int = 4 << 30  # an image, a buffer, an image array; and any message as a whole


USUAL = Bounds()


class WireError(ConnectionError):
    """The peer broke the protocol, or the connection broke: this session cannot go on."""


class Gone(WireError):
    """The peer has closed, or the connection broke: nobody is there."""


class Unsupported(WireError):
    """What came keeps to the protocol, but is not read here."""


def bounded(n_bytes: int, most: int, what: str) -> int:
    """Return a length that is accepted. Raises `WireError` for others."""
    if n_bytes > most:
        raise WireError(f"{what} of {n_bytes:,} bytes announced, at most {most:,} are accepted")
    return n_bytes


class Source(NamedTuple):
    """Bytes of a socket or a file, and how many are accepted at once.

    `take(n_bytes, what)` gives exactly so many, which have been bounded; `what` is for its sentence where they do not
    come.
    """

    take: Callable[[int, str], Buffer]
    bounds: Bounds = USUAL

    def number(self, form: str, what: str) -> tuple[Buffer, int]:
        """Take a number; return its bytes as well."""
        raw = self.take(struct.calcsize(form), what)
        return raw, struct.unpack(form, raw)[0]

    def text(self, form: str, what: str) -> Iterator[Buffer]:
        """Yield length and bytes of a text."""
        raw, length = self.number(form, f"the length of {what}")
        yield raw
        yield self.take(bounded(length, self.bounds.text, what), what)

    def array(self, item_bytes: int, what: str) -> Iterator[Buffer]:
        """Yield rank, dimensions and bytes of an array; of rank 0 is one that was never filled."""
        raw, n_dimensions = self.number("<Q", f"the rank of {what}")
        yield raw
        bounded(n_dimensions, MOST_DIMENSIONS, f"the rank of {what}")
        raw = self.take(8 * n_dimensions, f"the dimensions of {what}")
        yield raw
        length = math.prod(struct.unpack(f"<{n_dimensions}Q", raw), start=item_bytes) if n_dimensions else 0
        yield self.take(bounded(length, self.bounds.array, what), what)

    def optional(self, present: Iterator[Buffer], what: str) -> Iterator[Buffer]:
        """Yield the byte that tells whether something follows, then the pieces of it, if it does."""
        raw, is_present = self.number("<B", what)
        yield raw
        if is_present:
            yield from present
