"""Gadgets that fail, hang, die or make too much cost their scan, never the server."""

import json
import os
import time
from unittest import mock

import pytest
import torch

from pipelines.chain.turns import DeviceLock
from pipelines.hosts.session import Patience
from pipelines.protocol.framing import Id
from pipelines.protocol.messages import text_of
from tests.streaming import bytes_by_hand as by_hand
from tests.streaming.serving import LONG, line_bytes, serving, tiny_scan, wait_until

HEADER, LINES = tiny_scan()
SENDS_HEADER = by_hand.text(3, HEADER)
BEGIN = (by_hand.config_file("sense"), SENDS_HEADER)
MEMORY_BYTES = 4 << 30
PEER, COMPUTATION = 6.0, 2.0  # seconds of patience
AFTER_LAST = f"the reconstruction made nothing for {COMPUTATION:g} s after the last line and was ended"


@pytest.fixture(scope="module")
def locks(tmp_path_factory):
    """The folder of the workers' GPU locks."""
    return tmp_path_factory.mktemp("locks")


@pytest.fixture(scope="module")
def server(locks):
    patience = Patience(peer=PEER, worker=LONG, computation=COMPUTATION)
    settings = {"worker_module": "tests.streaming.bad_worker", "memory_bytes": MEMORY_BYTES, "patience": patience}
    with mock.patch.dict(os.environ, {"TMPDIR": str(locks)}), serving(**settings) as served:
        yield served


@pytest.fixture
def served(server):
    """The server, which after each test has all its workers back and serves a scan."""
    yield server
    server.wait_until_idle()
    server.check()


def gadget(name: str, **properties: object) -> str:
    values = "".join(f'<property name="{name}" value="{value}"/>' for name, value in properties.items())
    return f"<gadget><classname>{name}</classname>{values}</gadget>"


def client_config(*gadgets: str) -> bytes:
    stream = "".join((*gadgets, gadget("ImageFinishGadget")))
    return by_hand.text(2, f"<configuration><version>2</version><stream>{stream}</stream></configuration>".encode())


def bad(how: str, after: int) -> str:
    return gadget("BadGadget", how=how, after=after) + gadget("Snow") + gadget("ImageFinishGadget")


MISDEEDS = {
    "raises": "internal error, KeyError: 'coil 7'",
    "hangs": AFTER_LAST,
    "spins": AFTER_LAST,
    "exits": "the reconstruction process ended with exit code 3",
    "leaves": "the reconstruction process ended with exit code 0",
    "crashes": "the reconstruction process was killed by signal 11",
    "eats": "internal error, MemoryError: Unable to allocate 64.0 MiB",
}


@pytest.mark.parametrize("after", [3, -1])
@pytest.mark.parametrize("how", MISDEEDS)
def test_gadget_misbehaves(served, how, after):
    """In the middle of the lines, or at the end of them: one sentence says what happened, and all lines are kept."""
    with served.connect() as peer:
        peer.send(client_config(bad(how, after)), SENDS_HEADER, *LINES, by_hand.CLOSE)
        assert peer.sentence().startswith(MISDEEDS[how])
        assert peer.images() == []
    journal = served.last_journal()
    assert journal.n_lines == len(LINES)
    assert journal.verdict["problem"].startswith(MISDEEDS[how])


@pytest.mark.parametrize("how", ["raises", "hangs", "crashes"])
def test_gadget_misbehaves_under_a_parent(served, how):
    """Gadgetron hears of it after its CLOSE, however early it happened."""
    config = by_hand.text(2, f"<configuration>{bad(how, 3)}</configuration>".encode())
    with served.connect() as parent:
        parent.send(config, SENDS_HEADER, *LINES)
        wait_until(lambda: served.journals[-1].n_lines == len(LINES))
        assert parent.numbers() == []
        assert parent.send(by_hand.CLOSE).sentence().startswith(MISDEEDS[how])
        assert parent.numbers() == [Id.ERROR, Id.CLOSE]


def test_gadget_hangs_while_lines_arrive(served):
    """The client hears at once; its scan goes on, and is kept."""
    with served.connect() as peer:
        peer.send(client_config(bad("hangs", 3)), SENDS_HEADER, *LINES * 40).wait_for(Id.TEXT)
        wait_until(peer.sentences)
        peer.send(*LINES, by_hand.CLOSE)
        assert peer.sentence() == f"the reconstruction took no data for {COMPUTATION:g} s and was ended"
    assert served.last_journal().n_lines == 41 * len(LINES)


def test_gadget_leaves_a_thread(served):
    """The scan is right; what may still compute or hold memory is ended with its process."""
    before = {worker.process.pid for worker in served.server._pool._idle}
    with served.connect() as peer:
        peer.send(client_config(bad("forks_a_thread", 3)), SENDS_HEADER, *LINES, by_hand.CLOSE).hear_out()
        assert (len(peer.images()), peer.sentences()) == (1, [])
    served.wait_until_idle()
    assert len(before & {worker.process.pid for worker in served.server._pool._idle}) == 1


def test_no_image_is_said(served):
    """A scan without images is no success."""
    with served.connect() as peer:
        peer.send(client_config(gadget("Snow", n_images=0)), SENDS_HEADER, *LINES, by_hand.CLOSE)
        assert peer.sentence() == f"0 images came of {len(LINES)} lines"


def test_slow_is_not_hanging(served):
    """A gadget that makes something now and then may take longer than the patience in all."""
    config = client_config(gadget("Snow", n_images=4, pause=COMPUTATION / 3))
    with served.connect() as peer:
        peer.send(config, SENDS_HEADER, *LINES, by_hand.CLOSE).hear_out()
        assert (len(peer.images()), peer.sentences()) == (4, [])


def test_waiting_for_the_gpu_is_not_hanging(served, locks):
    """Another scan computes there for longer than the patience; the client hears nothing of it."""
    with DeviceLock(torch.device("cuda", 0), locks) as lock, served.connect() as peer:
        lock.acquire()
        peer.send(client_config(gadget("SnowOnGpu")), SENDS_HEADER, *LINES, by_hand.CLOSE)
        time.sleep(1.5 * COMPUTATION)
        assert peer.images() == []
        lock.release()
        peer.hear_out()
        assert (len(peer.images()), peer.sentences()) == (1, [])
        (text,) = peer.bodies(Id.TEXT)
        assert text_of(text).startswith("INFO    scan ")


def test_missed_deadline_is_a_marked_image(served, scan):
    """A late reconstruction must not hold up the scanner: the image is zero-filled, says so, and the next follows."""
    header, lines, _ = scan
    late = {"SenseRecon.deadline": "1e-6", "SenseRecon.n_iterations": "500"}  # else a busy machine may look too late
    deadline = by_hand.text(5, json.dumps({"parameters": late}).encode())
    with served.connect() as peer:
        peer.send(BEGIN[0], by_hand.text(3, header.encode()), deadline, *map(line_bytes, lines), by_hand.CLOSE)
        images = peer.hear_out().images()
    assert [image.slice for image in images] == [0, 1]
    late = "SenseRecon: not finished within 1e-06 s; GRAPPA: not finished within 1e-06 s"
    assert {image.meta["kband_fallback"] for image in images} == {late}
    assert peer.sentences() == []
    assert sum(bytes(text.parts[-1]).startswith(b"WARNING slice") for text in peer.bodies(Id.TEXT)) == 2
    assert served.last_journal().verdict["fallback"] == 2


def test_many_images(served):
    """All arrive, in order."""
    with served.connect() as peer:
        peer.send(client_config(gadget("Snow", n_images=500)), SENDS_HEADER, *LINES, by_hand.CLOSE).hear_out()
    assert [image.image_index for image in peer.images()] == [*range(1, 501)]


LARGE = client_config(gadget("Snow", n_images=8, size=2048))  # 16 MB each, more than sockets hold


def test_client_that_never_reads(served):
    """Its scan ends; half an image has been sent, so nothing more is said."""
    served.journals.clear()
    peer = served.connect(listens=False)
    peer.send(LARGE, SENDS_HEADER, *LINES, by_hand.CLOSE)
    assert served.last_journal().verdict["problem"] == f"the peer did not take a message within {PEER:g} s"
    peer.listen()
    peer._reader.join(LONG)
    assert set(peer.numbers()) == {Id.TEXT}
    assert peer.ending.startswith("peer closed while an image was read")
    peer.vanish()


def test_client_that_reads_late(served):
    """The reconstruction waits for it, and is not blamed."""
    peer = served.connect(listens=False)
    peer.send(LARGE, SENDS_HEADER, *LINES, by_hand.CLOSE)
    time.sleep(1.5 * COMPUTATION)
    with peer.listen():
        assert (len(peer.hear_out().images()), peer.sentences()) == (8, [])


def test_client_vanishes_amid_its_images(served):
    """Nobody waits for the rest."""
    peer = served.connect()
    peer.send(client_config(gadget("Snow", n_images=100_000)), SENDS_HEADER, *LINES).send(by_hand.CLOSE)
    peer.wait_for(Id.IMAGE)
    peer.vanish()
    assert "the peer" in served.last_journal().verdict["problem"]
