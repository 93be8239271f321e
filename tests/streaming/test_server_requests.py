"""What a client asks for beside its lines: bounded, told where it is passed over, and never guessed."""

import json

import numpy as np
import pytest

from gadgets.errors import PipelineError
from gadgets.scan import Scan
from pipelines.chain.pipeline import Pipeline
from pipelines.chain.run import run
from pipelines.chain.verdict import Verdict
from pipelines.protocol.framing import Id, Message
from pipelines.protocol.messages import text_of
from pipelines.protocol.request import Request
from tests.streaming import bytes_by_hand as by_hand
from tests.streaming.serving import Peer, assert_same_images, serving, tiny, tiny_images, tiny_scan

HEADER, LINES = tiny_scan()
SENSE = by_hand.config_file("sense")
IMAGE = by_hand.image(np.ones((1, 1, 2, 2), "<f4"), 5)
POST = """<configuration><version>2</version><stream><gadget><classname>AutoScaleGadget</classname></gadget>
<gadget><classname>FloatToUShortGadget</classname></gadget></stream></configuration>"""


@pytest.fixture(scope="module")
def served():
    with serving(n_workers=1) as served:
        yield served


def scanned(served, config: bytes, *messages: bytes) -> Peer:
    with served.connect() as peer:
        return peer.send(config, by_hand.text(3, HEADER), *messages, by_hand.CLOSE).hear_out()


def warnings(peer: Peer) -> list[str]:
    texts = [text_of(message) for message in peer.bodies(Id.TEXT)]
    return [text.removeprefix("WARNING ") for text in texts if text.startswith("WARNING ")]


def request() -> Request:
    return Request(Message(Id.CONFIG_FILE, (b"sense",)))


@pytest.mark.parametrize("text", [b'{"parameters": {"SenseRecon.n_iterations": 3}', b"[1, 2]", b"hello"])
def test_text_that_is_no_parameters_is_told_once(served, text):
    """A misplaced comma must not pass for a default; the scan goes on."""
    peer = scanned(served, SENSE, by_hand.text(5, text), by_hand.text(5, text), *LINES)
    (warning,) = warnings(peer)
    assert warning.startswith(f"a text of {len(text)} characters is no JSON object (")
    assert_same_images(peer.images(), tiny_images())


def test_parameters_before_the_header_are_told(served):
    """They belong behind it, and must not pass for defaults either."""
    with served.connect() as peer:
        text = by_hand.text(5, b'{"SenseRecon.n_iterations": "3"}')
        peer.send(SENSE, text, by_hand.text(3, HEADER), *LINES, by_hand.CLOSE).hear_out()
    assert warnings(peer) == ["a text came before the header; nothing is taken from it"]
    assert_same_images(peer.images(), tiny_images())


def test_image_from_a_client_is_not_its_result(served):
    """It is neither sent back nor counted, wherever it comes; one sentence says so."""
    before = served.server.monitor.registry.get_sample_value("kband_images_total")
    peer = scanned(served, SENSE, IMAGE, *LINES[:5], IMAGE, *LINES[5:], IMAGE)
    assert warnings(peer) == ["an image came from the client and is ignored: the pipeline begins with lines"]
    assert_same_images(peer.images(), tiny_images())
    assert served.last_journal().verdict["images"] == 1
    assert served.server.monitor.registry.get_sample_value("kband_images_total") == before + 1


def test_images_are_for_chains_that_begin_with_them(served):
    """A client may send its own chain for images."""
    peer = scanned(served, by_hand.text(2, POST.encode()), IMAGE, IMAGE)
    assert (len(peer.images()), warnings(peer)) == (2, [])


def test_pipelines_are_offered_that_clients_can_have(served):
    """`prepare` makes no images, and is refused."""
    sentence = scanned(served, by_hand.config_file("nothing"), *LINES).sentence()
    assert sentence.startswith("no pipeline 'nothing'; installed are active, active_warm, auto, auto_warm, ")
    assert "sense_warm" in sentence
    assert "prepare" not in sentence


@pytest.mark.parametrize("n_messages", [1, 11])
def test_parameters_are_bounded_in_number(n_messages):
    """In all messages together: each of them is looked at in the server's own process."""
    asked = request()
    given = json.dumps({f"SenseRecon.p{number}": "1" for number in range(1001 // n_messages + 1)})
    for _ in range(n_messages - 1):
        asked.override(given)
    with pytest.raises(PipelineError, match=r"1,0\d\d parameters, at most 1,000 are accepted"):
        asked.override(given)


def test_parameters_are_bounded_in_size():
    """Nobody reads megabytes of them."""
    with pytest.raises(PipelineError, match="at most 1,048,576 are accepted"):
        request().override(json.dumps({"note": "x" * (1 << 20)}))


def test_openrecon_gets_what_its_screen_says(served):
    """Another pipeline and brightness than untouched, pixel for pixel; the scanner ends its texts with a NUL."""
    screen = json.dumps({"version": "1.0", "parameters": {"config": "grappa", "brightness": "1000"}})
    asked = Request(Message(Id.CONFIG_FILE, (b"openrecon",)))
    asked.override(screen)
    expected = list(run(Pipeline.from_chain(asked.chain), Scan.from_xml(HEADER), tiny()[1], Verdict()))
    assert expected[0].data.max() < tiny_images()[0].data.max() / 2
    with served.connect() as peer:
        peer.send(by_hand.config_file("openrecon"), by_hand.text(3, HEADER + b"\0"),
                  by_hand.text(5, screen.encode() + b"\0"), *LINES, by_hand.CLOSE).hear_out()  # fmt: skip
    assert_same_images(peer.images(), expected)
