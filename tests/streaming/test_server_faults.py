"""Whatever a peer does, it hears one sentence and one CLOSE, what came is kept, and the next scan is served."""

import re
import struct
import time
from pathlib import Path

import pytest

from pipelines.hosts.session import Patience
from pipelines.protocol.framing import Id
from tests.streaming import bytes_by_hand as by_hand
from tests.streaming.serving import LONG, assert_same_images, serving, tiny_images, tiny_scan, wait_until
from tests.streaming.stock import inner_configuration

HEADER, LINES = tiny_scan()
SENSE, SENDS_HEADER = by_hand.config_file("sense"), by_hand.text(3, HEADER)
BEGIN = (SENSE, SENDS_HEADER)
EACH = by_hand.one_of_each()
INNER = by_hand.text(2, inner_configuration("sense").encode())


@pytest.fixture(scope="module")
def server():
    with serving(patience=Patience(peer=1.5, worker=LONG, computation=LONG)) as served:
        yield served


@pytest.fixture
def served(server):
    """The server, which after each test has all its workers back and serves a scan."""
    yield server
    server.wait_until_idle()
    server.check()


def sentence(served, *messages: bytes) -> str:
    """What a client hears that sends these bytes and nothing more, not even a CLOSE."""
    with served.connect() as peer:
        return peer.send(*messages).hang_up().sentence()


SCAN = (by_hand.query(b"?"), SENSE, by_hand.query(b"?"), SENDS_HEADER, by_hand.text(5, b"{}"), *LINES[:3])


@pytest.mark.parametrize("n_messages", range(len(SCAN) + 1))
def test_stream_ends_between_messages(served, n_messages):
    """Gadgetron would take it for the end of the scan."""
    assert sentence(served, *SCAN[:n_messages]) == "peer closed while a message number was read: 0 of 2 bytes"


@pytest.mark.parametrize("kind", [kind for kind in EACH if kind != "close"])
def test_stream_ends_inside_a_message(served, kind):
    """A killed client, or a network that breaks."""
    before = () if kind.startswith("config") else BEGIN[:1] if kind == "header" else (*BEGIN, *LINES[:2])
    assert sentence(served, *before, EACH[kind][: len(EACH[kind]) // 2]).startswith("peer closed while ")
    if before[1:]:
        assert served.last_journal().n_lines == 2


@pytest.mark.parametrize("number", [0, 9, 1018, 1050, 65535])
def test_unknown_message(served, number):
    """Its length is unknown: the stream is lost, in every state."""
    unknown = struct.pack("<H", number) + bytes(100)
    for before in ((), BEGIN[:1], BEGIN, (*BEGIN, LINES[0])):
        assert sentence(served, *before, unknown).startswith(f"message number {number} is unknown")


ABSURD = {
    "config": struct.pack("<HI", 2, 2**32 - 1),
    "header": SENSE + struct.pack("<HI", 3, 2**32 - 1),
    "text": b"".join(BEGIN) + struct.pack("<HI", 5, 2**32 - 1),
    "query": struct.pack("<HQQQ", 6, 0, 1, 2**64 - 1),
    "acquisition": b"".join(BEGIN) + struct.pack("<H", 1008) + by_hand.line_header(65535, 65535),
    "image": b"".join(BEGIN) + struct.pack("<H", 1022) + by_hand.image_header((65535,) * 4, 8) + bytes(8),
    "recon data": b"".join(BEGIN) + struct.pack("<HQQ3Q", 1023, 1, 3, 2**40, 2**40, 2**40),
}  # fmt: skip


@pytest.mark.parametrize("what", ABSURD)
def test_absurd_lengths_allocate_nothing(served, what):
    """Four bytes of garbage must not take the memory of the reconstruction computer; 3 GB would be one of them."""
    before = _peak_kb()
    assert "bytes announced, at most" in sentence(served, ABSURD[what])
    assert _peak_kb() - before < 1 << 20


def _peak_kb() -> int:
    return int(re.search(r"VmPeak:\s*(\d+)", Path("/proc/self/status").read_text())[1])


@pytest.mark.parametrize("n_bytes", [0, 1, 200, 340, 341])
def test_client_vanishes(served, n_bytes):
    """Between lines or inside one; nobody hears the sentence, but the journal holds it."""
    peer = served.connect().send(*BEGIN, *LINES[:7], LINES[7][:n_bytes])
    wait_until(lambda: served.journals[-1].n_lines == 7)
    peer.vanish()
    journal = served.last_journal()
    assert journal.n_lines == 7
    assert journal.verdict["problem"].startswith("peer closed while ")


def test_client_vanishes_before_its_images(served):
    """All lines are there, nobody listens: they are kept."""
    peer = served.connect(listens=False).send(*BEGIN, *LINES, by_hand.CLOSE)
    peer.vanish()
    wait_until(lambda: served.journals[-1].verdict is not None)
    assert served.journals[-1].n_lines <= len(LINES)  # what the system threw away with the connection never came


@pytest.mark.parametrize("last", [b"", SENSE, b"".join(BEGIN), b"".join((*BEGIN, LINES[0], LINES[1][:99]))])
def test_client_stalls(served, last):
    """A peer that neither speaks nor hangs up must not hold its place for ever."""
    with served.connect() as peer:
        assert peer.send(last).sentence() == "the peer was silent for 1.5 s"


def test_data_after_close(served):
    """Nobody looks at bytes behind CLOSE; the images are those of the scan."""
    with served.connect() as peer:
        peer.send(*BEGIN, *LINES, by_hand.CLOSE, *LINES, b"\xff" * 100).hear_out()
        assert peer.sentences() == []
        assert_same_images(peer.images(), tiny_images())
    assert served.last_journal().n_lines == len(LINES)


@pytest.mark.parametrize(("again", "what"), [(SENSE, "a configuration"), (INNER, "a configuration"),
                                             (SENDS_HEADER, "a header"), (EACH["error"], "an error")])  # fmt: skip
def test_second_beginning(served, again, what):
    """One connection is one scan; the lines behind it are read and kept, but not reconstructed."""
    with served.connect() as peer:
        peer.send(*BEGIN, *LINES[:3], again, *LINES[3:], by_hand.CLOSE)
        assert peer.sentence() == f"{what} came in the middle of the scan"
    assert served.last_journal().n_lines == len(LINES)


def test_wrong_order(served):
    """A header before the configuration, a line before the header."""
    assert sentence(served, SENDS_HEADER) == "message 3 came before any configuration"
    assert sentence(served, SENSE, LINES[0]) == "message 1008 came, a header (3) was expected"


ENTITY = b'<!DOCTYPE h [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><ismrmrdHeader>&b;</ismrmrdHeader>'
FOREIGN = b'<!DOCTYPE h [<!ENTITY f SYSTEM "file:///etc/hostname">]><ismrmrdHeader>&f;</ismrmrdHeader>'


@pytest.mark.parametrize("header", [ENTITY, FOREIGN, b"no XML", b"", b"<a/>", b"\xff\xfe<", b"<a>" * 50_000],
                         ids=["entity", "file", "text", "nothing", "other", "garbage", "deep"])  # fmt: skip
def test_header_that_is_none(served, header):
    """No document types, no entities, no guessing; the lines are kept all the same."""
    with served.connect() as peer:
        said = peer.send(SENSE, by_hand.text(3, header), *LINES, by_hand.CLOSE).sentence()
    assert said.startswith(("MRD header: ", "internal error, RecursionError"))
    assert served.last_journal().n_lines == len(LINES)


NAMES = (b"../sense", b"/etc/passwd", b"sense/../sense", b"nothing", b"", b"x" * 1024, b"sense\n", b"\xff" * 20)


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_configuration_names_never_become_paths(served, name):
    """Installed pipelines are found by name, nothing else is; the name comes from the network."""
    with served.connect() as peer:
        peer.send(struct.pack("<H1024s", 1, name), SENDS_HEADER, *LINES, by_hand.CLOSE).hear_out()
    if name == b"sense\n":
        assert_same_images(peer.images(), tiny_images())
    else:
        assert peer.sentence().startswith("no pipeline '")
    assert served.last_journal().n_lines == len(LINES)


def test_parent_hears_its_error_after_its_close(served):
    """An ERROR that comes earlier crashes Gadgetron, and so does any text."""
    wrong = INNER.replace(b'name="n_coils"', b'name="coils_n"')
    with served.connect() as parent:
        parent.send(wrong, SENDS_HEADER, *LINES)
        wait_until(lambda: served.journals[-1].n_lines == len(LINES))
        time.sleep(0.5)
        assert parent.numbers() == []
        assert parent.send(by_hand.CLOSE).sentence().startswith("CoilCompression.coils_n: no such property")
        assert parent.numbers() == [Id.ERROR, Id.CLOSE]


@pytest.mark.parametrize("before", [(by_hand.text(2, b"<configuration><parallel/></configuration>"), SENDS_HEADER),
                                    (INNER, SENDS_HEADER, struct.pack("<H", 1050))])  # fmt: skip
def test_parent_hears_no_text(served, before):
    """Neither for a chain that we cannot read, nor for a stream; lines after it are let pass before the ERROR."""
    with served.connect() as parent:
        parent.send(*before, *LINES[:5])
        time.sleep(0.5)
        assert parent.numbers() == []
        parent.send(*LINES[5:], by_hand.CLOSE).sentence()
        assert parent.numbers() == [Id.ERROR, Id.CLOSE]
