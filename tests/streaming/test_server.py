"""One port for Gadgetron's clients, FIRE's, and Gadgetron itself: each hears what it can read, and the same pixels."""

import json
import threading

import numpy as np
import pytest

from pipelines.chain.pipeline import installed_xml
from pipelines.protocol.framing import Id
from pipelines.simulation.simulated_protocol import Protocol
from pipelines.simulation.simulated_scan import simulate_scan
from tests.streaming import bytes_by_hand as by_hand
from tests.streaming.serving import (
    assert_same_images,
    line_bytes,
    reconstructed,
    serving,
    tiny,
    tiny_images,
    tiny_scan,
    wait_until,
)
from tests.streaming.stock import images_of, inner_configuration, prepared

HEADER, LINES = tiny_scan()
WAVEFORM = by_hand.waveform(np.arange(6).reshape(2, 3))
LEGACY = """<gadgetronStreamConfiguration>
  <reader><slot>1008</slot><dll>gadgetron_mricore</dll><classname>AcquisitionReader</classname></reader>
  {}</gadgetronStreamConfiguration>"""
GADGET = "<gadget><name>{0}</name><dll>d</dll><classname>{0}</classname></gadget>"
NAMES = ("NoiseAdjustGadget", "RemoveROOversamplingGadget", "AcquisitionBuffer", "CoilCompression", "CoilSensitivities",
         "SenseRecon", "ImageArraySplitGadget", "ComplexToFloatGadget", "AutoScaleGadget", "FloatToUShortGadget",
         "ImageFinishGadget")  # fmt: skip


pytestmark = pytest.mark.filterwarnings("ignore:A builtin ctypes object")  # Gadgetron's library, reading headers


@pytest.fixture(scope="module")
def served():
    with serving() as served:
        yield served


def scanned(served, config: bytes, *before: bytes, nul: bool = False, lines=tuple(LINES)):
    """A peer that has sent the tiny scan and heard everything; `before` comes between header and lines."""
    with served.connect() as peer:
        return peer.send(config, by_hand.text(3, HEADER, nul), *before, *lines, by_hand.CLOSE).hear_out()


def parameters(**values: object) -> bytes:
    return by_hand.text(5, json.dumps({"version": "1", "parameters": values}).encode(), nul=True)


@pytest.mark.parametrize("nul", [False, True])
def test_each_dialect_is_answered_in_kind(served, nul):
    """FIRE ends texts with a NUL and attributes without; Gadgetron the other way round."""
    peer = scanned(served, by_hand.config_file("sense"), nul=nul)
    texts = [bytes(message.parts[-1]) for message in peer.bodies(Id.TEXT)]
    assert texts
    assert {text.endswith(b"\0") for text in texts} == {nul}
    for message in peer.bodies(Id.IMAGE):
        head, length, attributes, _ = (bytes(part) for part in message.parts)
        assert attributes.endswith(b"\0") is not nul
        assert int.from_bytes(length, "little") == len(attributes) == int.from_bytes(head[-4:], "little")
    assert_same_images(peer.images(), tiny_images())


CONFIGURATIONS = {
    "name": by_hand.config_file("sense"),
    "file name": by_hand.config_file("sense.xml"),
    "name in a text": by_hand.text(2, b"sense", nul=True),
    "version 2": by_hand.text(2, installed_xml("sense").encode()),
    "version 2 with NUL": by_hand.text(2, installed_xml("sense").encode(), nul=True),
    "legacy": by_hand.text(2, LEGACY.format("".join(map(GADGET.format, NAMES))).encode()),
}


@pytest.mark.parametrize("how", CONFIGURATIONS)
def test_configurations_of_clients(served, how):
    """By name or as text, the chain is the same."""
    peer = scanned(served, CONFIGURATIONS[how])
    assert peer.sentences() == []
    assert len(peer.images()) == 1
    if how != "legacy":  # without the 12 coils of the installed one
        assert_same_images(peer.images(), tiny_images())


def test_bare_configuration_is_a_parents(served):
    """A bare chain comes only from Gadgetron, which wants image arrays and no text."""
    peer = scanned(served, by_hand.text(2, inner_configuration("sense").encode()))
    assert peer.numbers() == [Id.IMAGE_ARRAY, Id.CLOSE]


def test_parameters_set_declared_properties(served):
    """Values arrive as strings; those of other gadgets and of the scanner itself are left alone."""
    peer = scanned(
        served,
        by_hand.config_file("sense"),
        parameters(**{"AutoScaleGadget.max_value": "1000", "GrappaRecon.nothing": "1", "sendoriginal": "true"}),
    )
    assert peer.sentences() == []
    assert peer.images()[0].data.max() == pytest.approx(float(tiny_images()[0].data.max()) * 1000 / 2048, rel=0.01)


def test_undeclared_property_is_one_sentence(served):
    """A misspelt parameter must not pass for a default."""
    peer = scanned(served, by_hand.config_file("sense"), parameters(**{"SenseRecon.regularization": "0.1"}))
    assert peer.sentence().startswith("SenseRecon.regularization: no such property; properties are")
    assert peer.images() == []
    served.check()


@pytest.mark.parametrize("key", ["config", "customconfig"])
def test_parameters_switch_the_pipeline(served, key):
    """FIRE's user interface chooses among configurations by a parameter."""
    peer = scanned(served, by_hand.config_file("sense"), parameters(**{key: "grappa"}))
    assert peer.sentences() == []
    assert_same_images(peer.images(), reconstructed(*tiny()[:2], name="grappa"))
    refused = scanned(served, by_hand.config_file("sense"), parameters(**{key: "../sense"}))
    assert refused.sentence().startswith("no pipeline '../sense'")


NO_PARAMETERS = (b"hello", b"", b"{", b"[1, 2]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"config": "\\ud800"}')


@pytest.mark.parametrize("text", NO_PARAMETERS, ids=range(len(NO_PARAMETERS)))
def test_text_that_is_no_parameters_is_ignored(served, text):
    """Scanners send remarks too."""
    peer = scanned(served, by_hand.config_file("sense"), by_hand.text(5, text), by_hand.response(b"4.7"))
    assert peer.sentences() == []
    assert_same_images(peer.images(), tiny_images())


def test_queries_are_answered_in_every_state(served):
    """Gadgetron's client may ask any time; the answer carries the number of its question."""
    with served.connect() as peer:
        messages = [by_hand.config_file("sense"), by_hand.text(3, HEADER), *LINES[:9], *LINES[9:], by_hand.CLOSE]
        for number, message in enumerate(messages):
            if number < 4 or message is LINES[9]:
                peer.send(by_hand.query(b"gadgetron::info::version", correlation=number))
                wait_until(lambda number=number: number in _correlations(peer))
            peer.send(message)
        peer.hear_out()
    assert _correlations(peer) == [0, 1, 2, 3, 11]
    state = json.loads(bytes(peer.bodies(Id.RESPONSE)[0].parts[-1]))
    assert state["question"] == "gadgetron::info::version"
    assert state["workers"] == 2
    assert_same_images(peer.images(), tiny_images())


def _correlations(peer) -> list[int]:
    return [int.from_bytes(bytes(message.parts[0]), "little") for message in peer.bodies(Id.RESPONSE)]


NOISE_QUERY = LEGACY.format(GADGET.format("NoiseSummaryGadget")).encode()


@pytest.mark.parametrize("config", [by_hand.config_file("sense"), by_hand.text(2, NOISE_QUERY), b""])
def test_without_header_only_close_comes_back(served, config):
    """In its dependency query Gadgetron's client breaks on anything but CLOSE."""
    with served.connect() as peer:
        assert peer.send(config, by_hand.CLOSE).hear_out().numbers() == [Id.CLOSE]


def test_waveforms_return_to_a_parent_alone(served):
    """A parent's chain may need them; clients break on messages they did not ask for."""
    lines = [WAVEFORM, *LINES[:5], WAVEFORM, *LINES[5:], WAVEFORM]
    peer = scanned(served, by_hand.config_file("sense"), lines=lines)
    assert set(peer.numbers()) == {Id.TEXT, Id.IMAGE, Id.CLOSE}
    assert_same_images(peer.images(), tiny_images())
    parent = scanned(served, by_hand.text(2, inner_configuration("sense").encode()), lines=lines)
    assert [message.body for message in parent.bodies(Id.WAVEFORM)] == [WAVEFORM[2:]] * 3
    assert set(parent.numbers()) == {Id.WAVEFORM, Id.IMAGE_ARRAY, Id.CLOSE}
    assert served.last_journal().numbers.count(Id.WAVEFORM) == 3


def test_all_is_journalled(served):
    """What the scanner sent can be replayed, its CLOSE included; the verdict says what came of it."""
    scanned(served, by_hand.config_file("sense"))
    journal = served.last_journal()
    assert journal.header.encode() == HEADER
    assert journal.numbers == [Id.ACQUISITION] * len(LINES) + [Id.CLOSE]
    verdict = journal.verdict
    assert (verdict["lines"], verdict["images"], verdict["problem"]) == (len(LINES), 1, None)
    assert verdict["latency_s"] > 0


def test_client_and_parent_get_the_pixels_of_this_process(served, scan):
    """The road through sockets and processes changes no bit: 64², 4 coils, 2 slices, R=2."""
    header, lines, _ = scan
    with served.connect() as peer:
        peer.send(by_hand.config_file("sense"), by_hand.text(3, header.encode()), *map(line_bytes, lines))
        assert_same_images(peer.send(by_hand.CLOSE).hear_out().images(), reconstructed(header, lines))
    config, inner = inner_configuration("sense"), prepared(header, lines)
    with served.connect() as parent:
        parent.send(by_hand.text(2, config.encode()), by_hand.text(3, header.encode()), *map(line_bytes, inner))
        parent.send(by_hand.CLOSE).hear_out()
    expected = images_of(config, header, inner)
    assert len(expected) == 2
    for array, other in zip(parent.arrays(), expected, strict=True):
        np.testing.assert_array_equal(array, other.data.numpy())


def test_scans_at_once_are_not_mixed(served):
    """Four scanners on two workers: each gets its own head back, of 1 to 4 slices."""
    scans = [simulate_scan(Protocol(matrix=32, n_coils=2, n_slices=n, acceleration=1, seed=n)) for n in range(1, 5)]
    peers = [served.connect() for _ in scans]

    def send(peer, header, lines) -> None:
        peer.send(by_hand.config_file("sense"), by_hand.text(3, header.encode()))
        peer.send(*map(line_bytes, lines), by_hand.CLOSE)

    senders = [threading.Thread(target=send, args=(peer, *each[:2])) for peer, each in zip(peers, scans, strict=True)]
    for sender in senders:
        sender.start()
    for sender, peer, (header, lines, _) in zip(senders, peers, scans, strict=True):
        sender.join()
        with peer:
            assert peer.hear_out().sentences() == []
            assert_same_images(peer.images(), reconstructed(header, lines))
