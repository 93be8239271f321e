"""Too many scans, too few workers, and the end of the server: no scan is lost to them without a word."""

import ctypes
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pipelines.hosts.session import Patience
from pipelines.protocol.framing import Id
from tests.streaming import bytes_by_hand as by_hand
from tests.streaming.serving import LONG, Peer, assert_same_images, serving, tiny_images, tiny_scan, wait_until
from tests.streaming.stock import inner_configuration

HEADER, LINES = tiny_scan()
SENSE = by_hand.config_file("sense")
BEGIN = (SENSE, by_hand.text(3, HEADER))
INNER = by_hand.text(2, inner_configuration("sense").encode())
MOST = 4
KBAND = "from pipelines.cli import main; main()"


@pytest.fixture(scope="module")
def server():
    with serving(most_connections=MOST) as served:
        yield served


@pytest.fixture(scope="module")
def patient():
    """A server of one worker that waits long for its peers, but not for a worker."""
    with serving(n_workers=1, patience=Patience(peer=LONG, worker=1.0, computation=LONG)) as served:
        yield served


def test_too_many_connections(server):
    """Scan n + 1 is told so and kept, a query is still answered; far beyond that, connections are closed."""
    peers = [server.connect().send(SENSE) for _ in range(MOST)]
    wait_until(lambda: server.server.state()["scans_running"] == MOST)
    with server.connect() as peer, server.connect() as parent:
        busy = f"server busy: {MOST} scans run or wait, at most {MOST} are accepted"
        assert peer.send(by_hand.query(b"?"), *BEGIN, *LINES, by_hand.CLOSE).sentence() == busy
        assert peer.bodies(Id.RESPONSE)
        assert parent.send(INNER, BEGIN[1], by_hand.CLOSE).sentence() == busy
        assert parent.numbers() == [Id.ERROR, Id.CLOSE]
    for peer in [*peers, *(server.connect() for _ in range(3 * MOST))]:
        with peer:
            peer.hang_up()


def test_the_next_scan_may_come_at_once(server):
    """A client that has read CLOSE may connect again, whether or not it has closed the connection before."""
    server.wait_until_idle()
    peers = []
    for _ in range(MOST + 1):
        peers.append(server.connect().send(*BEGIN, *LINES, by_hand.CLOSE).hear_out())
        assert peers[-1].sentences() == []
    for peer in peers:
        peer.vanish()


def test_no_worker_comes_free(patient):
    """A scan that nobody can reconstruct in time ends, and is kept; the one that runs is not disturbed."""
    with patient.connect() as first, patient.connect() as second:
        first.send(*BEGIN, LINES[0]).wait_for(Id.TEXT)
        said = second.send(*BEGIN, *LINES, by_hand.CLOSE).sentence()
        assert said == "no worker came free within 1 s; 1 are busy"
        assert patient.last_journal().n_lines == len(LINES)
        assert_same_images(first.send(*LINES[1:], by_hand.CLOSE).hear_out().images(), tiny_images())
    patient.check()


def test_client_vanishes_while_it_waits_for_a_worker(patient):
    """The worker is not lost to it."""
    with patient.connect() as first:
        first.send(*BEGIN, LINES[0]).wait_for(Id.TEXT)
        patient.connect().send(*BEGIN, LINES[0]).vanish()
        first.send(*LINES[1:], by_hand.CLOSE).hear_out()
    patient.wait_until_idle()
    patient.check()


def test_idle_worker_dies(server):
    """The kernel may end one for its memory; the next scan does not pay for it."""
    worker = server.server._pool._idle[-1].process
    worker.kill()
    worker.wait()
    server.check()


def test_stop_finishes_the_running_scan():
    """An update must not cost a scan; who comes later is not accepted."""
    with serving(n_workers=1) as served, served.connect() as peer:
        peer.send(*BEGIN, *LINES[:9]).wait_for(Id.TEXT)
        finished = []
        stopping = threading.Thread(target=lambda: finished.append(served.server.stop(LONG)))
        stopping.start()
        wait_until(lambda: not served.server.state()["ready"])
        with pytest.raises(OSError):  # noqa: PT011 - refused or reset
            served.connect().send(SENSE).hear_out()
        peer.send(*LINES[9:], by_hand.CLOSE).hear_out()
        stopping.join(LONG)
        assert finished == [True]
        assert_same_images(peer.images(), tiny_images())


def test_stop_tells_who_must_wait_no_longer():
    """Whether its scan runs, has hardly begun, or waits for a worker; what was kept does not blame the peer."""
    sentence = "the server was stopped before the scan had ended"
    with serving(n_workers=1) as served, served.connect() as runs, served.connect() as waits, served.connect() as new:
        runs.send(*BEGIN, *LINES[:9]).wait_for(Id.TEXT)
        waits.send(*BEGIN, *LINES, by_hand.CLOSE)
        new.send(SENSE)
        wait_until(lambda: served.server.state()["scans_waiting"] == 1 and served.server.state()["scans_running"] == 3)
        assert not served.server.stop(0)
        assert [peer.sentence() for peer in (runs, waits, new)] == [sentence] * 3
        assert {journal.verdict["problem"] for journal in served.journals} == {sentence}


def test_stop_lets_a_parent_end_first():
    """An ERROR before its CLOSE would break Gadgetron."""
    with serving(n_workers=1) as served, served.connect() as parent:
        parent.send(INNER, BEGIN[1], *LINES[:9])
        wait_until(lambda: served.journals and served.journals[-1].n_lines == 9)
        stopping = threading.Thread(target=served.server.stop, args=(0,))
        stopping.start()
        parent.send(*LINES[9:], by_hand.CLOSE)
        assert parent.sentence() == "the server was stopped before the scan had ended"
        assert parent.numbers()[-2:] == [Id.ERROR, Id.CLOSE]
        stopping.join(LONG)


def test_sigterm_finishes_the_running_scan():
    """What a service manager sends to `kband serve`; the system may hand it to any of its threads."""
    command = [sys.executable, "-c", KBAND, "serve", "--port", "0", "--monitor-port", "0", "--workers", "1"]
    with subprocess.Popen([*command, "--no-save"], stdout=subprocess.PIPE, text=True) as process:
        port = int(re.search(r"serving MRD on \S+:(\d+)", process.stdout.readline())[1])
        with Peer(port) as peer:
            peer.send(*BEGIN, *LINES[:9]).wait_for(Id.TEXT)
            main, *others = sorted(int(task.name) for task in Path(f"/proc/{process.pid}/task").iterdir())
            assert main == process.pid
            assert ctypes.CDLL(None).tgkill(main, others[0], signal.SIGTERM) == 0
            assert "finishing" in process.stdout.readline()
            assert_same_images(peer.send(*LINES[9:], by_hand.CLOSE).hear_out().images(), tiny_images())
        assert process.wait(LONG) == 0
