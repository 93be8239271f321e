"""A module whose stream cannot be read to its end: the parent still hears what was wrong first."""

import contextlib
import socket
import struct
import threading
import time

import pytest

from pipelines.hosts.module import reconstruct
from pipelines.protocol import wire
from pipelines.protocol.framing import Gone, Id
from pipelines.protocol.messages import text_of
from pipelines.protocol.wire import Wire
from tests.streaming import bytes_by_hand as by_hand
from tests.streaming import stock
from tests.streaming.serving import line_bytes
from tests.streaming.test_module import LINE, LINES, answers

GARBAGE = by_hand.random_complex(40, 7).tobytes()  # what stands behind a line that is shorter than its header says


@pytest.mark.parametrize("rest", [GARBAGE, by_hand.config_file("x") + GARBAGE, b"", LINE[:500]])
@pytest.mark.parametrize("close", [True, False])
def test_first_problem_is_said_whatever_follows(scan, rest, close):
    """A stock gadget may shift the stream of a scan that was refused at its beginning; or the parent ends in it."""
    received = []
    with contextlib.suppress(Gone):
        answers(LINES, scan[0].replace("cartesian", "spiral"), LINE, rest, close=close, received=received)
    (message,) = received
    assert message.id == Id.ERROR
    assert "has the trajectory spiral" in text_of(message)


def test_stream_that_makes_no_sense_is_told(scan):
    """Even if nothing was wrong before it."""
    (message,) = answers(LINES, scan[0], LINE, struct.pack("<H", 1050), GARBAGE)
    assert text_of(message).startswith("message number 1050 is unknown")


def test_parent_that_sends_on_is_waited_for(monkeypatch, scan):
    """An ERROR before its CLOSE would break it, wherever that CLOSE is in a stream that cannot be read."""
    monkeypatch.setattr(wire, "QUIET_SECONDS", 0.2)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.settimeout(20)
        module = threading.Thread(target=reconstruct, args=(Wire(ours), LINES, scan[0]), daemon=True)
        theirs.sendall(LINE + struct.pack("<H", 1050) + GARBAGE)
        module.start()
        for _ in range(3):
            time.sleep(0.3)
            theirs.sendall(GARBAGE)
        assert module.is_alive()
        theirs.sendall(by_hand.CLOSE)
        assert Wire(theirs).read().id == Id.ERROR
        module.join(20)


def test_scan_cut_short_is_told(scan):
    """The client's stream ends in mid-scan, Gadgetron sends CLOSE: the images are marked, and a sentence says so."""
    header, lines, _ = scan
    sent = [line_bytes(line) for line in stock.prepared(header, lines)]
    *images, message = answers(LINES, header, *sent[: len(sent) * 3 // 4])
    assert {image.id for image in images} == {Id.IMAGE_ARRAY}
    assert "1 of 2 images is incomplete (SENSE; INCOMPLETE " in text_of(message)
