"""Gadgets that fail, hang, die or make too much cost their scan, never the server; and nothing piles up."""

import json
import os
import re
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from pipelines.hosts.session import Patience
from pipelines.hosts.wire import Id
from tests.streaming import bytes_by_hand as by_hand
from tests.streaming.serving import LONG, line_bytes, serving, tiny_scan, wait_until

HEADER, LINES = tiny_scan()
SENDS_HEADER = by_hand.text(3, HEADER)
BEGIN = (by_hand.config_file("sense"), SENDS_HEADER)
MEMORY_BYTES = 4 << 30
PEER, COMPUTATION = 6.0, 2.0  # seconds of patience
AFTER_LAST = f"the reconstruction made nothing for {COMPUTATION:g} s after the last line and was ended"


@pytest.fixture(scope="module")
def server():
    patience = Patience(peer=PEER, worker=LONG, computation=COMPUTATION)
    with serving(worker_module="tests.streaming.bad_worker", memory_bytes=MEMORY_BYTES, patience=patience) as served:
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
    stream = "".join(gadgets)
    return by_hand.text(2, f"<configuration><version>2</version><stream>{stream}</stream></configuration>".encode())


def bad(how: str, after: int) -> str:
    return gadget("BadGadget", how=how, after=after) + gadget("Snow")


MISDEEDS = {
    "raises": "internal error, KeyError: 'coil 7'",
    "hangs": AFTER_LAST,
    "spins": AFTER_LAST,
    "exits": "the reconstruction process ended with exit code 3",
    "leaves": "the reconstruction process ended with exit code 0",
    "crashes": "the reconstruction process was killed by signal 11",
    "eats": "internal error, _ArrayMemoryError: Unable to allocate 64.0 MiB",
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


def test_missed_deadline_is_a_marked_image(served, scan):
    """A late reconstruction must not hold up the scanner: the image is zero-filled, says so, and the next follows."""
    header, lines, _ = scan
    deadline = by_hand.text(5, json.dumps({"parameters": {"SenseRecon.deadline": "1e-6"}}).encode())
    with served.connect() as peer:
        peer.send(BEGIN[0], by_hand.text(3, header.encode()), deadline, *map(line_bytes, lines), by_hand.CLOSE)
        images = peer.hear_out().images()
    assert [image.slice for image in images] == [0, 1]
    assert {image.meta["kband_fallback"] for image in images} == {"SenseRecon: not finished within 1e-06 s"}
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
    threading.Event().wait(1.5 * COMPUTATION)
    with peer.listen():
        assert (len(peer.hear_out().images()), peer.sentences()) == (8, [])


def test_client_vanishes_amid_its_images(served):
    """Nobody waits for the rest."""
    peer = served.connect()
    peer.send(client_config(gadget("Snow", n_images=100_000)), SENDS_HEADER, *LINES).send(by_hand.CLOSE)
    peer.wait_for(Id.IMAGE)
    peer.vanish()
    assert "the peer" in served.last_journal().verdict["problem"]


def test_two_hundred_scans_leave_nothing_behind(served):
    """A server runs for months: no thread, descriptor or memory may stay. 32 MB is what the allocator may keep."""
    for _ in range(20):
        served.check()
    served.wait_until_idle()
    count = lambda: (threading.active_count(), len(os.listdir("/proc/self/fd")))  # noqa: E731
    n_threads, n_descriptors = count()
    workers = [worker.process.pid for worker in served.server._pool._idle]
    memory = {pid: _memory_mb(pid) for pid in (os.getpid(), *workers)}
    for _ in range(180):
        served.check()
    served.wait_until_idle()
    wait_until(lambda: count() <= (n_threads, n_descriptors))
    assert [worker.process.pid for worker in served.server._pool._idle] in (workers, workers[::-1])
    grown = {pid: _memory_mb(pid) - before for pid, before in memory.items()}
    assert max(grown.values()) < 32, grown


def _memory_mb(pid: int) -> float:
    return int(re.search(r"VmRSS:\s*(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) / 1024


@pytest.fixture(scope="module")
def ask(server):
    http = server.server.monitor.serve("localhost", 0)

    def ask(path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://localhost:{http.server_port}{path}", timeout=LONG) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    yield ask
    http.shutdown()
    http.server_close()


def metrics(ask: Callable) -> dict[str, float]:
    families = text_string_to_metric_families(ask("/metrics")[1])
    return {f"{s.name}{[*s.labels.values()] or ''}": s.value for family in families for s in family.samples}


def test_metrics_count(served, ask):
    """Scans by pipeline, failures by kind, lines, images, latency."""
    served.check()
    served.wait_until_idle()
    before = metrics(ask)
    for _ in range(2):
        served.check()
    with served.connect() as peer:
        peer.send(*BEGIN, *LINES[:5]).hang_up().sentence()
    served.wait_until_idle()
    after = metrics(ask)
    grown = {name: after[name] - before.get(name, 0.0) for name in after}
    assert grown["kband_scans_total['sense']"] == 3
    assert grown["kband_failures_total['peer']"] == 1
    assert grown["kband_lines_total"] == 2 * len(LINES) + 5
    assert grown["kband_images_total"] == grown["kband_last_line_to_image_seconds_count"] == 2
    assert (after["kband_workers_idle"], after["kband_scans_running"], after["kband_queue_bytes"]) == (2, 0, 0)


def test_readiness(served, ask):
    """Ready is who has a worker to spare; health says only that somebody answers."""
    assert ask("/ready")[0] == 200
    with served.connect() as first, served.connect() as second:
        for peer in (first, second):
            peer.send(*BEGIN, LINES[0]).wait_for(Id.TEXT)
        status, state = ask("/ready")
        assert (status, json.loads(state)["workers_idle"]) == (503, 0)
        assert ask("/health")[0] == 200
        for peer in (first, second):
            peer.send(*LINES[1:], by_hand.CLOSE).hear_out()
    served.wait_until_idle()
    assert ask("/ready")[0] == 200
    assert ask("/elsewhere")[0] == 404
