"""A stream that breaks off or lies about lengths ends in one sentence, before anything large is allocated."""

import struct

import numpy as np
import pytest

from pipelines.protocol import wire
from pipelines.protocol.framing import Bounds, WireError
from pipelines.protocol.wire import Wire
from tests.streaming import bytes_by_hand as by_hand

EACH = by_hand.one_of_each()
HUGE = (2**32 - 1, 2**63, 2**64 - 1)


@pytest.fixture
def allocated(monkeypatch) -> list[int]:
    """Sizes of all buffers that the wire makes."""
    sizes = []
    empty = np.empty

    def counted(n_bytes, dtype):
        sizes.append(n_bytes)
        return empty(n_bytes, dtype)

    monkeypatch.setattr(wire.np, "empty", counted)
    return sizes


def refused(raw: bytes) -> str:
    with pytest.raises(WireError) as error:
        by_hand.read_one(raw)
    return str(error.value)


@pytest.mark.parametrize("kind", EACH)
def test_stream_cut_at_every_byte(kind):
    """A scanner can die anywhere: the sentence says how much of what came."""
    for n_bytes in range(len(EACH[kind])):
        sentence = refused(EACH[kind][:n_bytes])
        assert sentence.startswith("peer closed while "), (n_bytes, sentence)
        came, announced = (int(word.replace(",", "")) for word in sentence.split(": ")[1].split()[:-1:2])
        assert 0 <= came < announced <= len(EACH[kind]), (n_bytes, sentence)


def test_cut_line_says_how_much_came():
    """100 of the header's bytes, after the 2 of the message number."""
    assert refused(EACH["acquisition"][:102]) == "peer closed while an acquisition header was read: 100 of 340 bytes"
    assert refused(b"") == "peer closed while a message number was read: 0 of 2 bytes"


@pytest.mark.parametrize("number", [0, 9, 999, 1007, 1009, 1018, 1019, 1030, 1050, 1051, 65535])
def test_unknown_number(number):
    """Without its layout a message cannot be skipped: the stream is lost."""
    assert refused(struct.pack("<H", number) + bytes(64)).startswith(f"message number {number} is unknown; 1, 2, 3")


def before(kind: str, n_bytes: int) -> bytes:
    return EACH[kind][: 2 + n_bytes]


def rank(value: int) -> bytes:
    return struct.pack("<Q", value)


def dimensions(*values: int) -> bytes:
    return struct.pack(f"<{len(values) + 1}Q", len(values), *values)


def absurd_lengths():
    """Message up to and including a length that no peer can mean."""
    for number in (2, 3, 5):
        yield f"text {number}", struct.pack("<HI", number, 2**32 - 1)
    yield "line", struct.pack("<H", 1008) + by_hand.line_header(65535, 65535)
    yield "trajectory", struct.pack("<H", 1008) + by_hand.line_header(65535, 0, 65535)
    yield "waveform", struct.pack("<HH6xQ3I2HfH2x", 1026, 1, 0, 0, 0, 0, 65535, 65535, 2.5, 0)
    image = struct.pack("<H", 1022) + by_hand.image_header((1, 65535, 65535, 65535), 5)
    yield "pixels", image + rank(0)
    yield "channels", struct.pack("<H", 1022) + by_hand.image_header((65535, 1, 1, 65535), 8) + rank(0)
    kspace = struct.pack("<HQ", 1023, 1)
    headers = before("recon_data", 8 + 8 + 7 * 8 + 12 * 8 + 2)
    images = struct.pack("<H", 1024)
    meta = EACH["image_array"][: EACH["image_array"].index(rank(len(by_hand.META)) + by_hand.META)]
    for huge in HUGE:
        yield f"query {huge}", before("query", 16) + rank(huge)
        yield f"response {huge}", before("response", 8) + rank(huge)
        yield f"error {huge}", before("error", 0) + rank(huge)
        yield f"attributes {huge}", before("image", 198) + rank(huge)
        yield f"bits {huge}", before("recon_data", 0) + rank(huge)
        yield f"meta {huge}", meta[:-8] + rank(huge)
        yield f"one meta {huge}", meta + rank(huge)
    for name, start in (("k-space", kspace), ("headers", headers), ("images", images)):
        yield f"{name} of rank 10⁹", start + rank(10**9)
        for huge in (*HUGE, 10**9):
            yield f"{name} {huge}", start + dimensions(huge, 2, 3)
        yield f"{name} overflow", start + dimensions(2**32, 2**32, 1)  # a product of 0 in 64 bits
        yield f"{name} small product", start + dimensions(*[2**8] * 16)
    for flag, what in ((0, "trajectory"), (1, "density")):
        optional = before("recon_data", 8 + 8 + 7 * 8 + 12 * 8) + b"\0" * flag + b"\1"
        yield what, optional + dimensions(2**40, 2)
    yield "image array's headers", EACH["image_array"][: 2 + 8 + 7 * 8 + 96] + dimensions(2**60)
    yield "reference", EACH["recon_data"][:-1] + b"\1" + dimensions(2**40)
    yield "line headers of images", EACH["image_array"][:-1] + b"\1" + dimensions(2**40)


ABSURD = dict(absurd_lengths())


@pytest.mark.parametrize("name", ABSURD)
def test_absurd_length(name, allocated):
    """Refused by its number, and nothing larger than what came was allocated."""
    sentence = refused(ABSURD[name] + bytes(64))
    assert "announced, at most" in sentence, sentence
    assert max(allocated, default=0) <= max(len(ABSURD[name]), 340)


@pytest.mark.parametrize("kind", ["text", "acquisition", "image", "recon_data", "image_array"])
def test_own_limits(kind, allocated):
    """What is too long for this host is refused by the limits it was given."""
    connection = Wire(by_hand.feed(EACH[kind]).socket, Bounds(text=4, line=50, array=30))
    with pytest.raises(WireError, match=r"bytes announced, at most (4|50) are|longer than the 30 bytes"):
        connection.read()
    assert max(allocated, default=0) <= 400


def test_many_parts_are_one_message():
    """A message of many small parts is bounded as a whole: attributes of an image array come one by one."""
    connection = Wire(by_hand.feed(EACH["image_array"]).socket, Bounds(array=len(EACH["image_array"]) - 3))
    with pytest.raises(WireError, match="a message is longer than the 817 bytes that are accepted"):
        connection.read()


@pytest.mark.parametrize("flag", [53, 54])
def test_compressed_line(flag):
    """ZFP and NHLBI lines have another layout: read as plain ones they would tear the stream."""
    raw = by_hand.acquisition(by_hand.random_complex(2, 3), flags=1 << (flag - 1))
    assert refused(raw) == "an acquisition is compressed (flag 53 or 54), which is not supported"


def test_compressed_line_among_others():
    """Other flags around them are no compression."""
    raw = by_hand.acquisition(by_hand.random_complex(2, 3), flags=1 << 51 | 1 << 54)
    assert by_hand.read_one(raw).body == raw[2:]


@pytest.mark.parametrize("data_type", [0, 9, 65535])
def test_unknown_pixels(data_type):
    """Without the type there is no length."""
    raw = struct.pack("<H", 1022) + by_hand.image_header((1, 1, 2, 2), data_type) + bytes(64)
    assert refused(raw) == f"an image of data type {data_type}, 1 to 8 expected"


def test_image_array_with_waveforms():
    """The library writes waveforms with stray message numbers: nobody can read them back."""
    assert refused(EACH["image_array"][:-2] + b"\1") == "an image array with waveforms is not supported"
