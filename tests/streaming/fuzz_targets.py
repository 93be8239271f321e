"""What must hold whatever comes, and how it is tried."""

from __future__ import annotations

import contextlib
import functools
import socket
from collections.abc import Callable
from typing import NamedTuple

from hypothesis import strategies as st

from gadgets.errors import PipelineError, ScanError
from gadgets.scan import Scan
from pipelines.chain.pipeline import Pipeline, installed_pipelines
from pipelines.chain.xml import read_chain
from pipelines.hosts.module import reconstruct
from pipelines.protocol.framing import Bounds, Buffer, Id, Message, WireError
from pipelines.protocol.messages import decode_image, decode_line, encode_line, text_of
from pipelines.protocol.recon_data import decode_recon_data
from pipelines.protocol.wire import Wire
from tests.streaming import bytes_by_hand as by_hand
from tests.streaming import stock
from tests.streaming.fuzzing import (
    arbitrary_bytes,
    buffers_of_any_shape,
    sessions,
    small_scan,
    streams,
    texts,
)

MOST_BYTES = 1 << 18
LIMITS = Bounds(text=1 << 14, line=1 << 15, array=MOST_BYTES)
SECONDS = 20  # for one example: a hang, not a slow machine


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
            for data in decode_recon_data(message, scan):
                assert data.lines
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
            problem = reconstruct(Wire(ours, LIMITS), stock.inner_configuration(name), small_scan()[0])
            assert not (problem or "").startswith("internal error"), problem
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
        "buffers": Target(check_session, buffers_of_any_shape(), 60),
        "pipelines": Target(check_pipeline, texts(chains), 150),
        "headers": Target(check_header, texts((small_scan()[0],)), 150),
    }
