"""What the wire reads is what was put on it; ours, Gadgetron's library's and bytes by hand say the same."""

import io
import socket
import struct

import ismrmrd
import numpy as np
import pytest
import torch
from gadgetron.external import readers, writers
from gadgetron.types.image_array import read_image_array

from gadgets.errors import ScanError
from gadgets.items import ImageArray
from pipelines.protocol.framing import Gone, Id, WireError
from pipelines.protocol.messages import (
    decode_image,
    decode_line,
    encode_image,
    encode_image_array,
    encode_line,
    text_message,
    text_of,
)
from pipelines.protocol.wire import Wire
from tests.streaming import bytes_by_hand as by_hand

EACH = by_hand.one_of_each()


def gadgetrons_bytes(write, item) -> bytes:
    """What Gadgetron's library sends."""
    sink = io.BytesIO()
    write(sink, item)
    return sink.getvalue()


@pytest.mark.parametrize("kind", EACH)
def test_message_is_read_whole(kind):
    """Number and body arrive as they were sent, and the next message starts where this one ends."""
    wire = by_hand.feed(EACH[kind], by_hand.CLOSE)
    message = wire.read()
    assert message.id.to_bytes(2, "little") + message.body == EACH[kind]
    assert message.size == len(EACH[kind])
    assert wire.read().id == Id.CLOSE


@pytest.mark.parametrize("kind", EACH)
def test_message_is_sent_as_it_was_read(kind):
    """What a chain does not accept goes back unchanged."""
    assert by_hand.bytes_of(by_hand.read_one(EACH[kind])) == EACH[kind]


@pytest.mark.parametrize("kind", EACH)
def test_dripping_peer_is_read(kind):
    """TCP may deliver bytes one by one."""
    wire = by_hand.feed(EACH[kind], drip=True)
    assert wire.read().body == EACH[kind][2:]


def test_large_message_comes_back_through_a_small_socket():
    """A line of 64 channels does not fit a socket's buffer; its pieces are sent in order."""
    line = by_hand.acquisition(by_hand.random_complex(64, 4096))
    wire = by_hand.feed(line)
    assert wire.read().body == line[2:]


def test_peer_that_does_not_take_a_message():
    """One that is gone is told from one that is slow: nobody else can tell whose error it was."""
    large = text_message(Id.TEXT, b"x" * (1 << 22))
    for is_gone, error in ((True, Gone), (False, TimeoutError)):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.settimeout(0.1)
            if is_gone:
                theirs.close()
            with pytest.raises(error) as raised:
                Wire(ours).send(large)
            assert type(raised.value) is error


@pytest.mark.parametrize(("number", "nul"), [(2, False), (2, True), (3, False), (3, True), (5, False), (5, True)])
def test_texts_with_and_without_nul(number, nul):
    """Gadgetron sends texts without a NUL, FIRE with one."""
    raw = by_hand.text(number, "Größe".encode(), nul)
    assert text_of(by_hand.read_one(raw)) == "Größe"
    assert by_hand.bytes_of(text_message(Id(number), "Größe", nul=nul)) == raw


def test_other_texts():
    """A configuration's name ends at its first NUL; query, response and error count in 64 bits."""
    assert text_of(by_hand.read_one(EACH["config_file"])) == "sense.xml"
    for kind, expected in (("query", "gadgetron::info::version"), ("response", "4.7.2"), ("error", "no image")):
        assert text_of(by_hand.read_one(EACH[kind])) == expected
    assert by_hand.bytes_of(text_message(Id.ERROR, "no image")) == EACH["error"]


@pytest.mark.parametrize(("samples", "channels", "dimensions"), [(6, 3, 0), (7, 1, 1), (8, 2, 3), (0, 0, 0), (0, 2, 3)])
def test_acquisition_both_ways(samples, channels, dimensions):
    """Samples [channel sample] and trajectory [sample dimension], as we and as the MRD library write them."""
    data = by_hand.random_complex(channels, samples)
    trajectory = np.arange(samples * dimensions, dtype=np.float32).reshape(samples, dimensions)
    raw = by_hand.acquisition(data, trajectory, flags=1 << 20, step1=9)
    line = decode_line(by_hand.read_one(raw))
    np.testing.assert_array_equal(line.data, data)
    np.testing.assert_array_equal(line.traj, trajectory)
    assert (line.idx.kspace_encode_step_1, line.flags, line.sample_time_us) == (9, 1 << 20, 2.5)
    assert list(line.position) == [0, 1, 2]
    assert by_hand.bytes_of(encode_line(line)) == raw
    assert gadgetrons_bytes(writers.write_acquisition, line) == raw
    assert readers.read_acquisition(io.BytesIO(raw[2:])) == line


DTYPES = {1: "u2", 2: "i2", 3: "u4", 4: "i4", 5: "f4", 6: "f8", 7: "c8", 8: "c16"}


@pytest.mark.parametrize("nul", [False, True])
@pytest.mark.parametrize("data_type", DTYPES)
def test_image_both_ways(data_type, nul):
    """Every pixel type of MRD; Gadgetron counts a NUL behind the attributes, FIRE does not."""
    pixels = (np.arange(24).reshape(2, 1, 3, 4) - 7 * (data_type not in (1, 3))).astype(DTYPES[data_type])
    raw = by_hand.image(pixels, data_type, by_hand.META + b"\0" * nul)
    image = decode_image(by_hand.read_one(raw))
    np.testing.assert_array_equal(image.data, pixels)
    assert (image.meta["DataRole"], image.image_index, image.slice) == ("Image", 2, 1)
    again = decode_image(by_hand.read_one(by_hand.bytes_of(encode_image(image, nul=nul))))
    np.testing.assert_array_equal(again.data, pixels)
    assert again.attribute_string == image.attribute_string
    by_library = by_hand.image(pixels, data_type, image.attribute_string.encode() + b"\0" * nul)
    assert by_hand.bytes_of(encode_image(image, nul=nul)) == by_library
    if data_type != 4:  # the library keeps int32 in 64 bits and misreads its own bytes
        read = readers.read_image(io.BytesIO(by_library[2:]))
        np.testing.assert_array_equal(read.data, pixels)
        assert read.attribute_string == image.attribute_string
        assert gadgetrons_bytes(writers.write_image, image) == by_hand.bytes_of(encode_image(image, nul=False))


def test_image_without_attributes():
    """Length 0, and a lone NUL, both say: no attributes."""
    pixels = np.ones((1, 1, 2, 2), "<f4")
    for attributes in (b"", b"\0"):
        assert dict(decode_image(by_hand.read_one(by_hand.image(pixels, 5, attributes))).meta) == {}


@pytest.mark.parametrize("attributes", [b"no XML", b"<a/>", b"<ismrmrdMeta><meta/></ismrmrdMeta>", b"\xff\xfe"])
def test_attributes_that_are_none(attributes):
    """The scan ends with a sentence, not with the library's own exception."""
    raw = by_hand.image(np.ones((1, 1, 2, 2), "<f4"), 5, attributes)
    with pytest.raises(ScanError, match="attributes that are no ismrmrdMeta document"):
        decode_image(by_hand.read_one(raw))


@pytest.mark.filterwarnings("ignore:A builtin ctypes object")  # Gadgetron's library, reading headers
@pytest.mark.parametrize("shape", [(1, 1, 1, 1, 1, 4, 6), (2, 3, 4, 1, 1, 3, 5), (1, 2, 1, 2, 3, 4, 1)])
def test_image_array_as_gadgetron_reads_it(shape):
    """Our [slice s n channel z y x] is Gadgetron's [X Y Z CHA N S LOC]; meta index n + N·s + N·S·loc."""
    data = by_hand.random_complex(*shape)
    headers, meta = np.empty(shape[:3], object), np.empty(shape[:3], object)
    for number, index in enumerate(np.ndindex(shape[:3])):
        headers[index] = ismrmrd.ImageHeader(data_type=7, image_index=number, slice=index[0], set=index[1])
        meta[index] = ismrmrd.Meta({"n": str(number), "note": "Größe"})
    raw = by_hand.bytes_of(encode_image_array(ImageArray(torch.from_numpy(data), headers, meta)))
    texts = [one.serialize().encode("ascii", "xmlcharrefreplace") for one in meta.flat]
    assert raw == by_hand.image_array(data.transpose(), [bytes(one) for one in headers.flat], texts)
    read = read_image_array(io.BytesIO(raw[2:]))
    np.testing.assert_array_equal(read.data, data.transpose())
    for loc, s, n in np.ndindex(shape[:3]):
        assert read.headers[n, s, loc] == headers[loc, s, n]
        text = read.meta[n + shape[2] * s + shape[2] * shape[1] * loc]
        assert ismrmrd.Meta.deserialize(text) == meta[loc, s, n]
    assert by_hand.read_one(raw).body == raw[2:]


def test_a_silent_peer_is_a_timeout():
    """The socket's own timeout, not a hang and not a closed peer."""
    ours, theirs = socket.socketpair()
    ours.settimeout(0.05)
    with ours, theirs:
        wire = Wire(ours)
        theirs.sendall(EACH["acquisition"][:100])
        with pytest.raises(TimeoutError):
            wire.read()


def test_a_peer_that_resets_is_a_broken_wire():
    """A process that dies with unread bytes resets the connection: the same as closing it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = socket.create_connection(server.getsockname())
        theirs, _ = server.accept()
        with ours:
            theirs.sendall(EACH["acquisition"][:100])
            ours.sendall(b"unread")
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            theirs.close()
            with pytest.raises(WireError, match="peer closed while an acquisition header"):
                Wire(ours).read()
