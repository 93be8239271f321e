"""One scan as a module, in this process: whatever goes wrong, the parent hears it after its CLOSE, once."""

import contextlib
import logging
import socket
import threading

import ismrmrd
import numpy as np
import pytest

from gadgets.errors import ScanError
from gadgets.items import Aside
from gadgets.receiving.acquisition_buffer import AcquisitionBuffer
from pipelines.hosts.module import read_start, reconstruct
from pipelines.protocol.framing import Id, Message, WireError
from pipelines.protocol.messages import decode_image, text_of
from pipelines.protocol.wire import Wire
from tests.streaming import bytes_by_hand as by_hand
from tests.streaming import stock

LINES, BUFFERS = (stock.inner_configuration(name) for name in ("sense", "sense_buffered"))
AUTO = stock.inner_configuration("auto")
IMAGES = "<configuration><gadget><classname>AutoScaleGadget</classname></gadget></configuration>"
LINE = by_hand.acquisition(by_hand.random_complex(4, 64))
WAVEFORM = by_hand.waveform(np.arange(8).reshape(1, 8))


def answers(
    config: str, header: str, *messages: bytes, close: bool = True, received: list[Message] | None = None
) -> list[Message]:
    """What `reconstruct` sends to a parent that sends these messages; the parent hangs up in the end."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(20)
        theirs.settimeout(20)
        received = [] if received is None else received

        def send() -> None:
            theirs.sendall(b"".join(messages) + by_hand.CLOSE * close)
            theirs.shutdown(socket.SHUT_WR)

        def read() -> None:
            wire = Wire(theirs)
            with contextlib.suppress(WireError):  # the end
                while True:
                    received.append(wire.read())

        threads = [threading.Thread(target=send, daemon=True), threading.Thread(target=read, daemon=True)]
        for thread in threads:
            thread.start()
        try:
            reconstruct(Wire(ours), config, header)
        finally:
            ours.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join(20)
                assert not thread.is_alive()
    return received


def fail_at(number: int, error: Exception):
    """A gadget's `process` that fails at a line."""

    def process(self, lines):
        for n, _ in enumerate(lines):
            if n == number:
                raise error
        yield from ()

    return process


@pytest.mark.parametrize("number", [0, 1, 63, 64, 65, 200])
def test_one_reader_reads_on_after_a_failure(monkeypatch, scan, number):
    """Lines that were read ahead, and all that follow, are one stream: two readers would tear messages apart."""
    monkeypatch.setattr(AcquisitionBuffer, "process", fail_at(number, ScanError("the coil fell off")))
    for _ in range(3):
        (message,) = answers(LINES, scan[0], *[LINE] * 400)
        assert message.id == Id.ERROR
        assert text_of(message) == "the coil fell off"


def test_chain_that_stops_early(monkeypatch, scan):
    """A gadget that needs no more lines does not end the scan: the parent still sends."""

    def process(self, lines):
        next(lines)
        yield from ()

    monkeypatch.setattr(AcquisitionBuffer, "process", process)
    assert answers(LINES, scan[0], *[LINE] * 400) == []


def test_gadget_with_a_bug(monkeypatch, scan):
    """What no one foresaw is still said, with its kind."""
    monkeypatch.setattr(AcquisitionBuffer, "process", fail_at(3, KeyError("coil")))
    (message,) = answers(LINES, scan[0], *[LINE] * 100)
    assert text_of(message) == "internal error, KeyError: 'coil'"


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), BrokenPipeError(32, "Broken pipe"),
                                   TimeoutError("no answer")])  # fmt: skip
def test_gadget_with_an_operating_systems_error(monkeypatch, scan, error):
    """A disk that is full, a host that does not answer: the parent is still there, and hears it."""
    monkeypatch.setattr(AcquisitionBuffer, "process", fail_at(3, error))
    (message,) = answers(LINES, scan[0], *[LINE] * 100)
    assert text_of(message) == f"internal error, {type(error).__name__}: {error}"


@pytest.mark.parametrize(
    ("config", "raw", "sentence"),
    [
        (IMAGES, by_hand.image(np.ones((1, 1, 2, 2), "<f4"), 5, b"none"), "an image has attributes that are no "),
        (BUFFERS, by_hand.recon_data((by_hand.small_buffer(), None)), "BufferIntake: 2 lines set aside, the first: "),
        (BUFFERS, by_hand.recon_data((by_hand.recon_buffer(np.zeros((1, 1, 1, 1, 1, 1, 1), np.complex64), [bytes(340)]),
                                      None)), "ReconData: a buffer holds 0 acquired lines"),
    ],
    ids=["attributes", "rows", "blank"],
)  # fmt: skip
def test_message_that_cannot_be_decoded(scan, config, raw, sentence):
    """It ends the scan with a sentence; the connection goes on to CLOSE."""
    *_, message = answers(config, scan[0], raw, *[WAVEFORM] * 3)
    assert message.id == Id.ERROR
    assert text_of(message).startswith(sentence)


def test_chain_of_images(scan):
    """A chain may stand behind the reconstruction; its images keep their attributes."""
    pixels = np.arange(1, 17, dtype="<f4").reshape(1, 1, 4, 4)
    (message,) = answers(IMAGES, scan[0], by_hand.image(pixels, 5))
    assert message.id == Id.IMAGE
    assert b"DataRole" in message.body


def test_what_is_not_accepted_goes_back(scan):
    """In its order, unchanged; an image array is no item for lines."""
    others = [WAVEFORM, by_hand.one_of_each()["image_array"], by_hand.image(np.ones((1, 1, 2, 2), "<f4"), 5)]
    received = answers(LINES, scan[0], *others)
    assert [number.to_bytes(2, "little") + body for number, body in ((m.id, m.body) for m in received[:-1])] == others
    assert "no imaging lines arrived" in text_of(received[-1])


def test_texts_do_not_go_back(scan):
    """Gadgetron breaks the chain of a module that sends any: only data, ERROR and CLOSE are legal."""
    others = [by_hand.one_of_each()[kind] for kind in ("text", "query", "response", "error", "config_text", "header")]
    (message,) = answers(LINES, scan[0], *others)
    assert message.id == Id.ERROR
    assert "no imaging lines arrived" in text_of(message)


def test_what_gadgets_say_aside_is_only_logged(monkeypatch, scan, caplog):
    """Gadgetron breaks on a text, and takes a waveform for one of the scanner's."""
    waveform = ismrmrd.Waveform.from_array(np.zeros((2, 1), np.uint32))

    def process(self, lines):
        yield Aside("feedback", "measure line 3", waveform)
        yield from ()

    monkeypatch.setattr(AcquisitionBuffer, "process", process)
    with caplog.at_level(logging.INFO):
        assert answers(LINES, scan[0], LINE) == []
    assert "measure line 3" in caplog.text


@pytest.mark.parametrize("cut", [0, 1, 2, 100, 342, len(LINE) - 1])
def test_parent_that_is_gone(scan, cut):
    """Nobody is there to hear: the caller must know."""
    with pytest.raises(WireError, match="peer closed while "):
        answers(LINES, scan[0], *[LINE] * 10, LINE[:cut], close=False)


def test_parent_that_goes_after_a_failure(monkeypatch, scan):
    """The same while the rest is thrown away."""
    monkeypatch.setattr(AcquisitionBuffer, "process", fail_at(2, ScanError("the coil fell off")))
    with pytest.raises(WireError, match="peer closed while "):
        answers(LINES, scan[0], *[LINE] * 300, close=False)


def test_parent_that_takes_nothing_back(scan):
    """It hangs up while a message is sent to it: to the caller that is the same."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(WAVEFORM + LINE)
        theirs.shutdown(socket.SHUT_RD)
        with pytest.raises(WireError, match="peer closed while a message was sent"):
            reconstruct(Wire(ours), LINES, scan[0])


@pytest.mark.parametrize("first", ["header", "text", "close", "acquisition"])
def test_start_in_another_order(first):
    """Configuration, then header: anything else is another protocol."""
    raw = by_hand.one_of_each()[first]
    with pytest.raises(WireError, match="2 was expected first"):
        read_start(by_hand.feed(raw))
    if first != "header":
        with pytest.raises(WireError, match="3 was expected first"):
            read_start(by_hand.feed(by_hand.text(2, b"<configuration/>"), raw))


def test_start(scan):
    """Both texts, with the NUL of FIRE or without."""
    for nul in (False, True):
        wire = by_hand.feed(by_hand.text(2, LINES.encode(), nul), by_hand.text(3, scan[0].encode(), nul))
        assert read_start(wire) == (LINES, scan[0])


def test_auto_chooses_at_the_scanner_and_says_so(scan):
    """Gadgetron passes on no sentence but an error: what was chosen stands in the images; a missing line is told."""
    imaging = [line for line in scan[1] if not line.is_flag_set(ismrmrd.ACQ_IS_NOISE_MEASUREMENT)]
    lines = [b"\xf0\x03" + line.to_bytes() for line in scan[1] if line is not imaging[0]]
    *images, error = answers(AUTO, scan[0], *lines)
    assert [decode_image(image).meta["kband_choice"].partition(":")[0] for image in images] == ["kband", "kband"]
    assert text_of(error).startswith("1 of 2 images is incomplete (")
