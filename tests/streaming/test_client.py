"""Whatever a server says, the client ends with what it received and one sentence."""

import json
import struct

import numpy as np
import pytest

from gadgets.errors import PipelineError
from pipelines.hosts.client import Target
from pipelines.protocol.framing import Id
from pipelines.protocol.messages import text_of
from pipelines.protocol.wire import Wire
from tests.pipelines.mrd_samples import line
from tests.streaming import bytes_by_hand as by_hand
from tests.streaming.stand_in import IMAGE, N_LINES, answer, outcome, peer, to_close


def test_scan_goes_out_in_order_and_images_come_back():
    """Configuration, header, lines, CLOSE; nothing is wrong then."""
    messages = []

    def behave(wire: Wire) -> None:
        messages.extend(to_close(wire))
        wire.socket.sendall(IMAGE + IMAGE + by_hand.CLOSE)

    with peer(behave) as target:
        n_images, problem, verdict, heard = outcome(target)
    assert (n_images, problem, heard, verdict.flaw, verdict.n_lines) == (2, None, [], None, N_LINES)
    assert [message.id for message in messages] == [Id.CONFIG_FILE, Id.HEADER, *[Id.ACQUISITION] * N_LINES, Id.CLOSE]
    sent = b"".join(message.id.to_bytes(2, "little") + message.body for message in messages[:2])
    assert sent == by_hand.config_file("sense") + by_hand.text(3, b"<ismrmrdHeader/>")
    assert messages[2].body == b"".join((bytes(line(0).getHead()), line(0).data.tobytes()))


def test_fire_wants_its_texts_with_a_nul_and_parameters_behind_the_header():
    """Its scanner's client sends them so."""
    messages = []

    def behave(wire: Wire) -> None:
        messages.extend(to_close(wire))
        wire.socket.sendall(IMAGE + by_hand.CLOSE)

    parameters = {"SenseRecon.n_iterations": "3"}
    with peer(behave, name="", xml="<configuration/>", dialect="fire", parameters=parameters) as target:
        assert outcome(target)[1] is None
    config, header, text = messages[:3]
    assert (config.id, header.id, text.id) == (Id.CONFIG_TEXT, Id.HEADER, Id.TEXT)
    assert all(bytes(message.parts[-1])[-1:] == b"\0" for message in (config, header, text))
    assert (text_of(config), text_of(header)) == ("<configuration/>", "<ismrmrdHeader/>")
    assert json.loads(text_of(text)) == {"parameters": parameters}


def test_gadgetron_is_not_told_parameters():
    """It would drop them without a word."""
    with pytest.raises(PipelineError, match="parameters are a message of the dialect fire"):
        Target("localhost", 9002, "sense", parameters={"SenseRecon.n_iterations": "3"})


CLOSED = "no CLOSE came: peer closed while a message number was read: 0 of 2 bytes"
BAD_IMAGE = by_hand.image(np.zeros((1, 1, 2, 2), "<f4"), 5, b"no XML")


@pytest.mark.parametrize(
    ("pieces", "n_images", "sentence"),
    [
        ((IMAGE,), 1, CLOSED),
        ((), 0, CLOSED),
        ((IMAGE, IMAGE[:-5]), 1, "no CLOSE came: peer closed while an image was read: 43 of 48 bytes"),
        ((IMAGE, struct.pack("<H", 1018)), 1, "no CLOSE came: message number 1018 is unknown; "),
        ((IMAGE, b"\xff\xfe" * 100), 1, "no CLOSE came: message number 65279 is unknown; "),
        ((IMAGE, b"GET / HTTP/1.1\r\n\r\n"), 1, "no CLOSE came: message number 17735 is unknown; "),
        ((IMAGE, by_hand.acquisition(np.zeros((2, 3))), IMAGE, by_hand.CLOSE), 2, "the server sent message 1008, "),
        ((IMAGE, by_hand.error(b"no memory"), IMAGE, by_hand.CLOSE), 2, "no memory"),
        ((by_hand.error(b""), by_hand.CLOSE), 0, "the server told of an error without a word"),
        ((IMAGE, by_hand.text(5, b"ERROR   the\n\tgpu is gone"), by_hand.CLOSE), 1, "the gpu is gone"),
        ((by_hand.text(5, b"CRITICAL  first", nul=True), by_hand.text(5, b"ERROR second"), by_hand.CLOSE), 0, "first"),
        ((IMAGE, by_hand.text(5, b"map::at"), by_hand.CLOSE), 1, "map::at"),
        ((BAD_IMAGE, IMAGE, by_hand.CLOSE), 1, "an image cannot be read: an image has attributes"),
        ((struct.pack("<HQ", 8, 1 << 40),), 0, "no CLOSE came: an error of 1,099,511,627,776 bytes announced, "),
    ],
)
def test_server_that_misbehaves_after_the_scan(pieces, n_images, sentence):
    """Images that came are kept; what was wrong first is the sentence."""
    with peer(answer(*pieces)) as target:
        got, problem, verdict, _ = outcome(target)
    assert got == n_images
    assert problem.startswith(sentence)
    assert verdict.n_lines == N_LINES


def test_texts_are_heard_as_they_are():
    """Levels that tell of no failure are no failure, and control characters do not reach a terminal."""
    texts = ("INFO    begun", "WARNING slice 1: late", "DBG x", "INFO    \x1b[2Jred")
    pieces = [by_hand.text(5, text.encode(), nul=True) for text in texts]
    with peer(answer(*pieces, by_hand.response(b"4.7.2"), IMAGE, by_hand.CLOSE)) as target:
        _, problem, _, heard = outcome(target)
    assert problem is None
    assert heard == [*texts[:3], "INFO    �[2Jred"]


def test_errors_are_heard_with_their_level():
    """An ERROR message and an ERROR text look alike to who reads the screen."""
    with peer(answer(by_hand.text(5, b"ERROR   one"), by_hand.error(b"two"), by_hand.CLOSE)) as target:
        assert outcome(target)[3] == ["ERROR   one", "ERROR   two"]


def test_fire_server_may_send_texts_without_a_level():
    """Only Gadgetron means an error by any text."""
    with peer(answer(by_hand.text(5, b"hello"), IMAGE, by_hand.CLOSE), dialect="fire") as target:
        assert outcome(target)[1] is None
