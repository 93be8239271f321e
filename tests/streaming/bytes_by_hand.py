"""Every message as raw bytes, packed from the protocol's tables alone: our own encoders have no part in it."""

from __future__ import annotations

import ctypes
import socket
import struct
import threading
import time
from collections.abc import Sequence

import ismrmrd
import numpy as np

from pipelines.protocol.framing import Message
from pipelines.protocol.wire import Wire

CLOSE = struct.pack("<H", 4)
META = b'<?xml version="1.0"?><ismrmrdMeta><meta><name>DataRole</name><value>Image</value></meta></ismrmrdMeta>'


def config_file(name: str) -> bytes:
    return struct.pack("<H1024s", 1, name.encode())


def text(number: int, body: bytes, nul: bool = False) -> bytes:
    """Configuration (2), header (3) or text (5); `nul`: as FIRE ends it."""
    body += b"\0" * nul
    return struct.pack("<HI", number, len(body)) + body


def query(body: bytes, correlation: int = 7) -> bytes:
    return struct.pack("<HQQQ", 6, 0, correlation, len(body)) + body


def response(body: bytes, correlation: int = 7) -> bytes:
    return struct.pack("<HQQ", 7, correlation, len(body)) + body


def error(body: bytes) -> bytes:
    return struct.pack("<HQ", 8, len(body)) + body


def line_header(
    samples: int, channels: int, dimensions: int = 0, flags: int = 0, step1: int = 0, slice_: int = 0
) -> bytes:
    """The 340 bytes of an acquisition header; its echo is in the middle."""
    head = struct.pack("<HQ3I3I3H", 1, flags, 11, 12, 13, 14, 15, 16, samples, channels, channels)
    head += struct.pack("<16Q5H", *[0] * 16, 0, 0, samples // 2, 0, dimensions)
    head += struct.pack("<16f", 2.5, *range(15))  # dwell; position, three directions, table
    head += struct.pack("<17H", step1, 0, 0, slice_, *[0] * 13)
    return head + struct.pack("<8i8f", *range(8), *range(8))


def acquisition(data: np.ndarray, trajectory: np.ndarray | None = None, flags: int = 0, step1: int = 0) -> bytes:
    """`data` (channel, sample), `trajectory` (sample, dimension)."""
    channels, samples = data.shape
    trajectory = np.zeros((samples, 0)) if trajectory is None else trajectory
    head = line_header(samples, channels, trajectory.shape[1], flags, step1)
    return struct.pack("<H", 1008) + head + trajectory.astype("<f4").tobytes() + data.astype("<c8").tobytes()


def waveform(data: np.ndarray) -> bytes:
    """`data` (channel, sample); the header is aligned to 8 bytes, so that there are holes in it."""
    channels, samples = data.shape
    head = struct.pack("<H6xQ3I2HfH2x", 1, 0, 11, 12, 13, samples, channels, 2.5, 1)
    return struct.pack("<H", 1026) + head + data.astype("<u4").tobytes()


def image_header(shape: Sequence[int], data_type: int, n_attributes: int = 0) -> bytes:
    """The 198 bytes of an image header; `shape` is (channel, z, y, x)."""
    channels, z, y, x = shape
    head = struct.pack("<HHQI3H3fH", 1, data_type, 0, 11, x, y, z, 230.0, 230.0, 5.0, channels)
    head += struct.pack("<15f", *range(15)) + struct.pack("<6H", 0, 1, 0, 0, 0, 0)
    head += struct.pack("<4I3H", 13, 14, 15, 16, 1, 2, 3)
    return head + struct.pack("<8i8fI", *range(8), *range(8), n_attributes)


def image(pixels: np.ndarray, data_type: int, attributes: bytes = META) -> bytes:
    head = image_header(pixels.shape, data_type, len(attributes))
    return struct.pack("<H", 1022) + head + struct.pack("<Q", len(attributes)) + attributes + pixels.tobytes()


def array(values: np.ndarray | list[bytes], shape: Sequence[int] | None = None) -> bytes:
    """Rank, dimensions, entries; in column-major order, so that the first axis runs fastest."""
    if isinstance(values, np.ndarray):
        return struct.pack(f"<Q{values.ndim}Q", values.ndim, *values.shape) + values.tobytes(order="F")
    return struct.pack(f"<Q{len(shape)}Q", len(shape), *shape) + b"".join(values)


def recon_buffer(data: np.ndarray, headers: list[bytes], trajectory: np.ndarray | None = None) -> bytes:
    """`data` [E0 E1 E2 CHA N S LOC]; headers of [E1 E2 N S LOC], E1 fastest."""
    shape = (*data.shape[1:3], *data.shape[4:])
    optional = b"\0" if trajectory is None else b"\1" + array(trajectory)
    sampling = struct.pack("<6f6H9H2x", *[230.0] * 6, *[64] * 6, *range(9))
    return array(data) + optional + b"\0" + array(headers, shape) + sampling


def recon_data(*bits: tuple[bytes, bytes | None]) -> bytes:
    """Bits of (buffer, reference or None)."""
    body = b"".join(data + (b"\0" if ref is None else b"\1" + ref) for data, ref in bits)
    return struct.pack("<HQ", 1023, len(bits)) + body


def image_array(data: np.ndarray, headers: list[bytes], meta: list[bytes]) -> bytes:
    """`data` [X Y Z CHA N S LOC]; headers and meta of [N S LOC], N fastest."""
    texts = b"".join(struct.pack("<Q", len(one)) + one for one in meta)
    arrays = array(data) + array(headers, data.shape[4:])
    return struct.pack("<H", 1024) + arrays + struct.pack("<Q", len(meta)) + texts + b"\0\0"


def random_complex(*shape: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(np.complex64)


def small_buffer() -> bytes:
    """Two samples, three rows, of which the first is missing, two coils."""
    headers = [bytes(340), line_header(2, 2, step1=1), line_header(2, 2, step1=2)]
    return recon_buffer(random_complex(2, 3, 1, 2, 1, 1, 1), headers)


def one_of_each() -> dict[str, bytes]:
    """A small message of every kind."""
    ramp = np.arange(6).reshape(2, 3)
    pixels = random_complex(3, 2, 1, 1, 2, 1, 1)
    return {
        "config_file": config_file("sense.xml"),
        "config_text": text(2, b"<configuration/>"),
        "header": text(3, b"<ismrmrdHeader/>"),
        "close": CLOSE,
        "text": text(5, b"hello", nul=True),
        "query": query(b"gadgetron::info::version"),
        "response": response(b"4.7.2"),
        "error": error(b"no image"),
        "acquisition": acquisition(random_complex(2, 3), ramp.T),
        "waveform": waveform(ramp),
        "image": image(np.arange(12, dtype="<f4").reshape(1, 1, 3, 4), 5),
        "recon_data": recon_data((small_buffer(), None)),
        "recon_data_with_reference": recon_data((small_buffer(), small_buffer())),
        "image_array": image_array(pixels, [image_header((1, 1, 2, 3), 7)] * 2, [META, META]),
    }


def feed(*messages: bytes, drip: bool = False) -> Wire:
    """A wire whose peer sends these bytes, one by one if `drip`, and then hangs up."""
    ours, theirs = socket.socketpair()
    ours.settimeout(20)

    def send() -> None:
        with theirs:
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
            for piece in messages:
                if not drip:
                    theirs.sendall(piece)
                    continue
                for byte in piece:
                    theirs.send(bytes((byte,)))
                    time.sleep(0)

    if not drip and sum(map(len, messages)) < 1 << 16:
        send()  # the socket holds it all
    else:
        threading.Thread(target=send, daemon=True).start()
    return Wire(ours)


def read_one(raw: bytes) -> Message:
    """Read one message from its bytes."""
    wire = feed(raw)
    with wire.socket:
        return wire.read()


def bytes_of(message: Message) -> bytes:
    """What this message is on the wire, sent through a socket."""
    ours, theirs = socket.socketpair()
    with theirs, ours.makefile("rb") as file:
        Wire(theirs).send(message)
        theirs.shutdown(socket.SHUT_WR)
        return file.read()


assert len(line_header(1, 1)) == ctypes.sizeof(ismrmrd.AcquisitionHeader) == 340
assert len(image_header((1, 1, 1, 1), 5)) == ctypes.sizeof(ismrmrd.ImageHeader) == 198
