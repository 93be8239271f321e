"""Streams and texts that no peer should send, and what must hold whatever comes."""

from __future__ import annotations

import contextlib
import functools
import re
import socket
from collections.abc import Callable
from typing import NamedTuple

from hypothesis import strategies as st

from gadgets.errors import PipelineError, ScanError
from gadgets.scan import Scan
from pipelines.hosts.messages import decode_image, decode_line, encode_line, text_of
from pipelines.hosts.module import reconstruct
from pipelines.hosts.recon_data import decode_recon_data
from pipelines.hosts.wire import Buffer, Id, Limits, Message, Wire, WireError
from pipelines.pipeline import Pipeline, installed_pipelines
from pipelines.pipeline_xml import read_chain
from pipelines.simulated_protocol import Protocol
from pipelines.simulated_scan import simulate_scan
from tests.streaming import bytes_by_hand as by_hand
from tests.streaming import stock

MOST_BYTES = 1 << 18
LIMITS = Limits(text=1 << 14, line=1 << 15, array=MOST_BYTES)
SECONDS = 20  # for one example: a hang, not a slow machine
NUMBERS = (0, 1, 2, 7, 15, 16, 255, 256, 65535, 65536, 2**31 - 1, 2**32 - 1, 2**32, 2**53, 2**63 - 1, 2**63, 2**64 - 1)
TEXTS = ("", " ", "0", "-1", "1", "3", "65535", "65536", "99999999999999999999", "1e9", "nan", "inf", "-inf", "1.5",
         "0x10", "١", "true", "auto", "cuda:99", "a@b", "cartesian", "radial", "embedded", "other", "2", "&#0;", "&x;",
         "]]>", "<!-- -->", "<?x?>", "<!DOCTYPE a>", "\0", "\ufeff", "</a>", "<a>", "<a/>", "<a b='c'/>")  # fmt: skip


@functools.cache
def small_scan() -> tuple[str, list[bytes], list[bytes]]:
    """Header, lines and ReconData of a scan of 16² with 2 coils."""
    header, lines, _ = simulate_scan(Protocol(matrix=16, n_coils=2, n_slices=1, acceleration=2, acs_lines=8))
    lines = stock.prepared(header, lines)
    return header, [b"\xf0\x03" + line.to_bytes() for line in lines], list(stock.recon_data(header, lines))


def mutated(draw: st.DrawFn, raw: bytes) -> bytes:
    """Flip bits, cut, repeat, drop, and write numbers over anything."""
    mutable = bytearray(raw)
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, max(len(mutable) - 1, 0)))
        length = draw(st.sampled_from((1, 2, 4, 8, 56, 340)))
        match draw(st.sampled_from(("flip", "cut", "repeat", "drop", "number"))):
            case "flip" if mutable:
                mutable[at] ^= 1 << draw(st.integers(0, 7))
            case "cut":
                del mutable[at:]
            case "repeat":
                mutable[at:at] = mutable[at : at + length]
            case "drop":
                del mutable[at : at + length]
            case "number":
                width = draw(st.sampled_from((2, 4, 8)))
                number = draw(st.sampled_from(NUMBERS)) % (1 << 8 * width)
                mutable[at : at + width] = number.to_bytes(width, "little")
    return bytes(mutable)


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """Messages of all kinds, more or less whole."""
    _, lines, buffers = small_scan()
    known = [*by_hand.one_of_each().values(), lines[0], buffers[0]]
    return b"".join(mutated(draw, raw) for raw in draw(st.lists(st.sampled_from(known), min_size=1, max_size=4)))


@st.composite
def arbitrary_bytes(draw: st.DrawFn) -> bytes:
    """Anything, often behind a message number that is known."""
    number = draw(st.sampled_from((b"", *(int(known).to_bytes(2, "little") for known in Id))))
    return number + draw(st.binary(max_size=500))


@st.composite
def sessions(draw: st.DrawFn) -> tuple[str, bytes]:
    """Name of a pipeline, and a scan for it, of which at most three messages are wrong."""
    _, lines, buffers = small_scan()
    name = draw(st.sampled_from(("sense", "sense_buffered", "grappa", "grappa_buffered")))
    messages = list(buffers if name.endswith("buffered") else lines)
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(messages) - 1))
        messages[at] = mutated(draw, messages[at])
    return name, b"".join(messages) + draw(st.sampled_from((by_hand.CLOSE, by_hand.CLOSE + b"more", b"")))


@st.composite
def texts(draw: st.DrawFn, originals: tuple[str, ...]) -> bytes:
    """XML with tags and values dropped, repeated, exchanged and replaced, or with wrong bytes."""
    pieces = re.findall(r"<[^>]*>|[^<]+", draw(st.sampled_from(originals)))
    for _ in range(draw(st.integers(0, 4))):
        at, other = (draw(st.integers(0, len(pieces) - 1)) for _ in range(2))
        match draw(st.sampled_from(("drop", "repeat", "exchange", "replace", "value"))):
            case "drop" if len(pieces) > 1:
                del pieces[at]
            case "repeat":
                pieces[at:at] = pieces[other : other + 8]
            case "exchange":
                pieces[at], pieces[other] = pieces[other], pieces[at]
            case "replace":
                pieces[at] = draw(st.sampled_from(TEXTS))
            case "value":
                value = draw(st.sampled_from(TEXTS))
                pieces[at] = re.sub(r'"[^"]*"', f'"{value}"', pieces[at]) if '"' in pieces[at] else value
    raw = "".join(pieces).encode()
    return mutated(draw, raw) if draw(st.booleans()) else raw


class _BoundedWire(Wire):
    def take(self, n_bytes: int, what: str) -> Buffer:
        assert n_bytes <= MOST_BYTES, f"{n_bytes} bytes for {what}"
        return super().take(n_bytes, what)


def check_wire(raw: bytes) -> None:
    """Messages, then a `WireError`: nothing else, nothing larger than the limits, no hang."""
    with contextlib.closing(by_hand.feed(raw).socket) as connection:
        connection.settimeout(SECONDS)
        wire, n_bytes = _BoundedWire(connection, LIMITS), 0
        try:
            while True:
                message = wire.read()
                assert message.id.to_bytes(2, "little") + message.body == raw[n_bytes : n_bytes + message.size]
                n_bytes += message.size
                check_decoding(message)
        except WireError:
            return


def check_decoding(message: Message) -> None:
    """What was read can be decoded, or it is a `ScanError`."""
    scan = _small_scan_header()
    with contextlib.suppress(ScanError):
        if message.id == Id.ACQUISITION:
            assert encode_line(decode_line(message)).body == message.body
        elif message.id == Id.IMAGE:
            decode_image(message)
        elif message.id == Id.RECON_DATA:
            for buffer in decode_recon_data(message, scan):
                assert buffer.slice_counters()
        elif message.parts:
            text_of(message)


@functools.cache
def _small_scan_header() -> Scan:
    return Scan.from_xml(small_scan()[0])


def check_session(session: tuple[str, bytes]) -> None:
    """The parent hears whole messages, an ERROR at most once, last, and never before its own end."""
    name, raw = session
    ours, theirs = socket.socketpair()
    for end in (ours, theirs):
        end.settimeout(SECONDS)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    with ours, theirs:
        theirs.sendall(raw)
        theirs.shutdown(socket.SHUT_WR)
        with contextlib.suppress(WireError):
            reconstruct(Wire(ours, LIMITS), stock.inner_configuration(name), small_scan()[0])
        ours.shutdown(socket.SHUT_WR)
        heard, wire = [], Wire(theirs)
        with contextlib.suppress(WireError):
            while True:
                message = wire.read()
                heard.append(message.id)
    assert heard.count(Id.ERROR) == (Id.ERROR in heard[-1:]), heard
    assert all(number >= Id.ACQUISITION or number == Id.ERROR for number in heard), heard


def check_pipeline(raw: bytes) -> None:
    """A chain, or a `PipelineError`."""
    with contextlib.suppress(PipelineError):
        read_chain(raw)
        Pipeline.from_xml(raw).open(_small_scan_header())


def check_header(raw: bytes) -> None:
    """A scan that a chain opens or refuses, or a `PipelineError`."""
    with contextlib.suppress(PipelineError):
        scan = Scan.from_xml(raw)
        Pipeline.from_xml(stock.BEFORE).open(scan)
        Pipeline.from_xml(stock.inner_configuration("sense")).open(scan)


class Target(NamedTuple):
    """What is tried, with what, and how often in the tests."""

    check: Callable
    strategy: st.SearchStrategy
    n_examples: int


@functools.cache
def targets() -> dict[str, Target]:
    """All that is fuzzed, by name."""
    chains = tuple(path.read_text() for path in installed_pipelines().values())
    chains += tuple(map(stock.inner_configuration, ("sense", "grappa_buffered")))
    return {
        "arbitrary bytes": Target(check_wire, arbitrary_bytes(), 300),
        "broken streams": Target(check_wire, streams(), 400),
        "broken scans": Target(check_session, sessions(), 60),
        "pipelines": Target(check_pipeline, texts(chains), 150),
        "headers": Target(check_header, texts((small_scan()[0],)), 150),
    }
