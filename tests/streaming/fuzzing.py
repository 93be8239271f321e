"""Streams and texts that no peer should send."""

from __future__ import annotations

import functools
import re

import ismrmrd
import numpy as np
from hypothesis import strategies as st

from pipelines.protocol.framing import Id
from pipelines.simulation.simulated_protocol import Protocol
from pipelines.simulation.simulated_scan import simulate_scan
from tests.streaming import bytes_by_hand as by_hand
from tests.streaming import stock

NUMBERS = (0, 1, 2, 7, 15, 16, 255, 256, 65535, 65536, 2**31 - 1, 2**32 - 1, 2**32, 2**53, 2**63 - 1, 2**63, 2**64 - 1)
COUNTERS = [name for name, _ in ismrmrd.EncodingCounters._fields_ if name != "user"]
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


def edited(draw: st.DrawFn, raw: bytes) -> bytes:
    """A whole line that says or holds something else."""
    header = ismrmrd.AcquisitionHeader.from_buffer_copy(raw[2:342])
    samples = np.frombuffer(raw[342:], np.complex64).copy()
    number = draw(st.sampled_from(NUMBERS))
    match draw(st.sampled_from(("counter", "field", "flag", "sample"))):
        case "counter":
            setattr(header.idx, draw(st.sampled_from(COUNTERS)), number % 65536)
        case "field":
            name = draw(st.sampled_from(("discard_pre", "discard_post", "center_sample", "encoding_space_ref")))
            setattr(header, name, number % 65536)
        case "flag":
            header.flags |= 1 << draw(st.sampled_from([n for n in range(64) if n not in (52, 53)]))
        case "sample":
            values = (np.nan, np.inf, 0, 1e-38, 3e38)
            samples[draw(st.integers(0, 1)) * 5 :: draw(st.sampled_from((1, 40)))] = draw(st.sampled_from(values))
    return raw[:2] + bytes(header) + samples.tobytes()


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
        is_line = len(messages[at]) == len(lines[0])
        messages[at] = (edited if is_line and draw(st.booleans()) else mutated)(draw, messages[at])
    return name, b"".join(messages) + draw(st.sampled_from((by_hand.CLOSE, by_hand.CLOSE + b"more", b"")))


@st.composite
def buffers_of_any_shape(draw: st.DrawFn) -> tuple[str, bytes]:
    """ReconData whose lengths agree with each other, but not with the scan."""
    sizes = st.sampled_from((1, 1, 1, 2, 3, 0))

    def buffer() -> bytes:
        shape = [draw(st.sampled_from((16, 16, 32, 1, 0))), draw(st.sampled_from((16, 16, 8, 1, 17, 0)))]
        shape += [draw(sizes), draw(st.sampled_from((2, 2, 1, 0))), *(draw(sizes) for _ in range(3))]
        n_lines = int(np.prod([shape[axis] for axis in (1, 2, 4, 5, 6)]))
        acquired = draw(st.lists(st.booleans(), min_size=1, max_size=9))
        samples = draw(st.sampled_from((16, 16, 32, shape[0], 65535)))
        flag = draw(st.sampled_from((0, 1 << 19, 1 << 20)))
        came = [samples * acquired[n % len(acquired)] for n in range(n_lines)]
        headers = [by_hand.line_header(length, shape[3], 0, flag, n % 16) for n, length in enumerate(came)]
        return by_hand.recon_buffer(by_hand.random_complex(*shape), headers)

    bits = [(buffer(), buffer() if draw(st.booleans()) else None) for _ in range(draw(st.integers(0, 2)))]
    return draw(st.sampled_from(("sense_buffered", "grappa_buffered"))), by_hand.recon_data(*bits) + by_hand.CLOSE


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
