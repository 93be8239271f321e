"""What gadgets say aside goes through worker and server to whoever may hear it: each protocol has one rule."""

import ismrmrd
import numpy as np
import pytest

from gadgets.items import Aside
from pipelines.chain.verdict import Seconds
from pipelines.hosts.events import Facts, Spent, Told
from pipelines.hosts.worker_protocol import SIGN_OF_LIFE, heard, told
from pipelines.protocol.framing import Id
from pipelines.protocol.messages import encode_waveform, text_message, text_of
from tests.streaming import bytes_by_hand as by_hand
from tests.streaming.serving import serving, tiny_scan
from tests.streaming.stand_in import IMAGE, answer, outcome, peer
from tests.streaming.test_server_gadgets import client_config, gadget

HEADER, LINES = tiny_scan()
TALK = gadget("Talker") + gadget("Snow")
CLIENT = client_config(TALK)
PARENT = by_hand.text(2, f"<configuration>{TALK}{gadget('ImageFinishGadget')}</configuration>".encode())
FEEDBACK = ismrmrd.Waveform.from_array(np.array([[3], [0]], np.uint32), waveform_id=1024)
WARNING = ("it is " + "long " * 100)[:400]
SAID = ["INFO    the first line is here", f"WARNING {WARNING}", "INFO    measure line 3"]


@pytest.fixture(scope="module")
def events():
    return []


@pytest.fixture(scope="module")
def served(events):
    with serving(events.append, worker_module="tests.streaming.bad_worker", n_workers=1) as served:
        yield served


def scanned(served, config: bytes, nul: bool = False):
    """A peer that has sent the tiny scan and heard everything."""
    with served.connect() as peer:
        return peer.send(config, by_hand.text(3, HEADER, nul), *LINES, by_hand.CLOSE).hear_out()


def test_fire_clients_hear_texts_and_feedback(served):
    """The text is for people; the waveform, which this protocol knows, for the sequence."""
    peer = scanned(served, CLIENT, nul=True)
    assert [text_of(message) for message in peer.bodies(Id.TEXT)][1:] == SAID
    assert [ismrmrd.Waveform.from_bytes(message.body) for message in peer.bodies(Id.WAVEFORM)] == [FEEDBACK]
    assert (len(peer.images()), peer.sentences()) == (1, [])


def test_gadgetrons_clients_hear_texts_alone(served):
    """They break on a waveform."""
    peer = scanned(served, CLIENT)
    assert [text_of(message) for message in peer.bodies(Id.TEXT)][1:] == SAID
    assert set(peer.numbers()) == {Id.TEXT, Id.IMAGE, Id.CLOSE}


def test_a_parent_hears_nothing_but_the_log_does(served, events):
    """A text is illegal from a module, and a waveform would pass for one of the scanner's."""
    events.clear()
    assert scanned(served, PARENT).numbers() == [Id.IMAGE, Id.CLOSE]
    asides = [event.aside for event in events if isinstance(event, Told)]
    assert [f"{aside.level:<8}{aside.sentence}" for aside in asides] == SAID
    assert asides[-1].waveform == FEEDBACK


@pytest.mark.parametrize(
    "what",
    [
        Aside("warning", "line 3 is broken"), Aside("feedback", "line 3", FEEDBACK), Facts((64, 64, 1), 2, None, 64),
        Spent({"SenseRecon": Seconds(0.4, 2.0)}),
    ],
)
def test_the_hop_from_worker_to_server_loses_nothing(what):
    """One text, whatever it carries; a sign of life carries nothing."""
    assert heard(told(what)) == what
    assert heard(SIGN_OF_LIFE) is None


@pytest.mark.parametrize(("dialect", "problem"), [("fire", None), ("gadgetron", "the server sent message 1026, ")])
def test_our_client_takes_feedback_in_fires_dialect_alone(dialect, problem):
    """Its text says what it is; a client of Gadgetron must not get any."""
    feedback = encode_waveform(FEEDBACK)
    raw = feedback.id.to_bytes(2, "little") + feedback.body
    text = text_message(Id.TEXT, "INFO    measure line 3")
    said = text.id.to_bytes(2, "little") + text.body
    with peer(answer(said, raw, IMAGE, by_hand.CLOSE), dialect=dialect) as target:
        n_images, sentence, _, heard = outcome(target)
    assert (n_images, heard) == (1, ["INFO    measure line 3"])
    assert sentence is None if problem is None else sentence.startswith(problem)
