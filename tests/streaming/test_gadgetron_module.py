"""The module as Gadgetron starts it: a process of its own, without stdin, whose failures are heard."""

import copy
import os
import time

import numpy as np
import pytest
from ismrmrd import Meta

from pipelines.protocol.framing import Id
from pipelines.protocol.messages import text_of
from pipelines.simulation.simulated_protocol import Protocol
from pipelines.simulation.simulated_scan import simulate_scan
from tests.laws import nmse
from tests.streaming import bytes_by_hand as by_hand
from tests.streaming import stock
from tests.streaming.parent import Parent

LINES, BUFFERS = (stock.inner_configuration(name) for name in ("sense", "sense_buffered"))
pytestmark = pytest.mark.filterwarnings("ignore:A builtin ctypes object")  # Gadgetron's library, reading headers


@pytest.fixture(scope="module")
def lines(scan) -> list:
    """Lines as the stock gadgets before the module leave them."""
    return stock.prepared(scan[0], scan[1])


@pytest.fixture(scope="module")
def expected(scan, lines) -> list:
    """Image arrays of the same chain in this process."""
    return stock.images_of(LINES, scan[0], copy.deepcopy(lines))


def on_the_wire(line) -> bytes:
    return b"\xf0\x03" + line.to_bytes()


def check_images(arrays: list, expected: list) -> None:
    """Pixels, headers and attributes; nmse 1e-10: another number of threads adds in another order."""
    assert len(arrays) == len(expected) == 2
    for array, other in zip(arrays, expected, strict=True):
        assert nmse(array.data, other.data) < 1e-10
        assert array.headers.flat[0] == other.headers.flat[0]
        assert list(array.meta.flat) == [meta.serialize() for meta in other.meta.flat]


def check_failure(parent: Parent, sentence: str) -> None:
    """Nothing before CLOSE was sent but images; then one ERROR with the sentence, one CLOSE, and the end."""
    assert parent.close() == 0
    numbers = parent.numbers()
    assert numbers[-2:] == [Id.ERROR, Id.CLOSE]
    assert set(numbers[:-2]) <= {Id.IMAGE_ARRAY}
    message, was_closed = parent.received[-2]
    assert was_closed
    assert sentence in text_of(message)


def test_lines_to_images(tmp_path, scan, lines, expected):
    """Images are those of the same chain in one process; waveforms come back as they were sent, in their order."""
    waveforms = [by_hand.waveform(np.full((2, 3), number)) for number in range(3)]
    with Parent(tmp_path, LINES, scan[0]) as parent:
        parent.send(waveforms[0], *map(on_the_wire, lines[:30]), waveforms[1], *map(on_the_wire, lines[30:]))
        parent.send(waveforms[2])
        assert parent.close() == 0
        check_images(parent.arrays(), expected)
        back = [message.body for message, _ in parent.received if message.id == Id.WAVEFORM]
        assert back == [raw[2:] for raw in waveforms]
        assert parent.numbers().count(Id.CLOSE) == 1
        assert parent.numbers()[-1] == Id.CLOSE
        assert set(parent.numbers()) == {Id.IMAGE_ARRAY, Id.WAVEFORM, Id.CLOSE}
        parent.log.seek(0)
        assert "DEBUG" not in parent.log.read()


def test_buffers_to_images(tmp_path, scan, lines, expected):
    """ReconData by Gadgetron's own writer; what the chain does not take, single lines among them, goes back."""
    stray = by_hand.acquisition(by_hand.random_complex(4, 64))
    with Parent(tmp_path, BUFFERS, scan[0]) as parent:
        parent.send(stray, *stock.recon_data(scan[0], lines))
        assert parent.close() == 0
        assert parent.numbers() == [Id.ACQUISITION, Id.IMAGE_ARRAY, Id.IMAGE_ARRAY, Id.CLOSE]
        assert parent.received[0][0].body == stray[2:]
        check_images(parent.arrays(), expected)


def test_images_leave_while_the_scan_runs(tmp_path, scan, lines, expected):
    """The first slice is complete: its image comes before the second slice is sent; nobody reads stdin."""
    ours, theirs = os.pipe()
    os.write(theirs, b"untouched")
    by_slice = [[line for line in lines if line.idx.slice == number] for number in (0, 1)]
    with Parent(tmp_path, LINES, scan[0], stdin=ours) as parent:
        parent.send(*map(on_the_wire, by_slice[0]))
        parent.wait_for(1)
        parent.send(*map(on_the_wire, by_slice[1]))
        assert parent.close() == 0
        check_images(parent.arrays(), expected)
        assert not parent.received[0][1]
    assert os.read(ours, 100) == b"untouched"
    os.close(ours)
    os.close(theirs)


FAILURES = {
    "gadget": (lambda xml: xml.replace("SenseRecon", "SenseRecno"), lambda xml: xml, "SenseRecno"),
    "property": (lambda xml: xml.replace('"n_coils" value="12"', '"n_coils" value="0"'), lambda xml: xml, "n_coils"),
    "trajectory": (lambda xml: xml, lambda xml: xml.replace("cartesian", "spiral"), "has the trajectory spiral"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_chain_that_cannot_serve_the_scan(tmp_path, scan, lines, name):
    """Known before the first line, said after the last one: sooner the server would break."""
    configuration, header, sentence = FAILURES[name]
    with Parent(tmp_path, configuration(LINES), header(scan[0])) as parent:
        parent.send(*map(on_the_wire, lines))
        check_failure(parent, sentence)
        assert parent.numbers() == [Id.ERROR, Id.CLOSE]


def test_line_with_nan(tmp_path, scan, lines):
    """The images come, the broken one marked; then the sentence."""
    lines = copy.deepcopy(lines)
    lines[4].data[1, 5] = np.nan
    with Parent(tmp_path, LINES, scan[0]) as parent:
        parent.send(*map(on_the_wire, lines))
        check_failure(parent, "1 line set aside: 1 of 256 samples are not finite numbers")
        assert parent.numbers() == [Id.IMAGE_ARRAY, Id.IMAGE_ARRAY, Id.ERROR, Id.CLOSE]
        metas = [Meta.deserialize(array.meta.flat[0]) for array in parent.arrays()]
        assert sorted(meta["kband_complete"] for meta in metas) == ["no", "yes"]


def test_chain_that_fails_in_mid_scan(tmp_path):
    """The module computes no more, but reads on: what it has to say waits for CLOSE, however long that takes."""
    header, lines, _ = simulate_scan(Protocol(matrix=32, n_coils=4, n_slices=3, acceleration=2, calibration="none"))
    header = header.replace("</accelerationFactor>", "</accelerationFactor><calibrationMode>other</calibrationMode>")
    lines = stock.prepared(header, lines)
    chain = LINES.replace("SenseRecon</classname>", 'SenseRecon</classname><property name="on_failure" value="raise"/>')
    waveform = by_hand.waveform(np.zeros((1, 8)))
    with Parent(tmp_path, chain, header) as parent:
        parent.send(waveform)
        parent.wait_for(1)  # the chain is up
        parent.send(*map(on_the_wire, lines), *[waveform] * 500)
        time.sleep(1)
        assert parent.numbers() == [Id.WAVEFORM]  # nothing since
        parent.received.clear()
        check_failure(parent, "SenseRecon: ")


@pytest.mark.parametrize("reset", [False, True])
def test_parent_dies_in_mid_message(tmp_path, scan, lines, reset):
    """The module ends within seconds, without spinning, whether the server closed the connection or reset it."""
    with Parent(tmp_path, LINES, scan[0]) as parent:
        parent.send(by_hand.waveform(np.zeros((1, 8))))
        parent.wait_for(1)
        parent.send(*map(on_the_wire, lines[:10]), on_the_wire(lines[10])[:1000])
        parent.die(reset=reset)
        assert parent.process.wait(60) != 0
        parent.log.seek(0)
        assert "the parent is gone: peer closed while " in parent.log.read()
