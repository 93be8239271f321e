"""A peer that drips holds its place for a limited time, whatever it drips into."""

import contextlib
import itertools
import socket
import threading
import urllib.request

import pytest

from pipelines.hosts import events, side_by_side
from pipelines.hosts.patience import Patience
from pipelines.protocol.framing import Id
from pipelines.protocol.punctuality import Pace, TooSlow
from pipelines.protocol.wire import Wire
from tests.streaming import bytes_by_hand as by_hand
from tests.streaming.serving import LONG, serving, tiny_scan, wait_until

HEADER, LINES = tiny_scan()
SENSE = by_hand.config_file("sense")
BEGIN = (SENSE, by_hand.text(3, HEADER))


@pytest.fixture(scope="module")
def served():
    patience = Patience(LONG, LONG, LONG, start=0.5, message=0.5, bytes_per_s=1e5)
    with serving(most_connections=2, patience=patience) as served:
        yield served


@contextlib.contextmanager
def sending(send, parts):
    """Send a part every 50 ms, never silent for long."""
    over = threading.Event()

    def go_on() -> None:
        with contextlib.suppress(OSError):
            for part in parts:
                if over.wait(0.05):
                    return
                send(part)

    thread = threading.Thread(target=go_on, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(LONG)


def dripping(connection: socket.socket, rest: bytes):
    """Send byte by byte."""
    return sending(connection.sendall, (bytes([byte]) for byte in rest))


@pytest.mark.parametrize("before", [b"", b"".join(by_hand.query(b"?") for _ in range(5)), SENSE])
def test_start_has_a_deadline(served, before):
    """Configuration and header together; queries and texts between them do not prolong it."""
    with served.connect() as peer:
        peer.send(before)
        with dripping(peer.socket, by_hand.query(b"?") * 100):
            assert peer.sentence() == "configuration and header took longer than 0.5 s"


def test_message_has_a_deadline(served):
    """From its first byte; between messages a scanner may pause."""
    with served.connect() as peer:
        peer.send(*BEGIN, LINES[0])
        with dripping(peer.socket, LINES[1]):
            assert peer.sentence().startswith("an acquisition header took longer than 0.503 s: ")
    assert served.last_journal().n_lines == 1


def test_dripping_peers_give_their_seats_back(served):
    """As many as there are seats: the next scan is served all the same, when their time is over."""
    with contextlib.ExitStack() as stack:
        peers = [stack.enter_context(served.connect()) for _ in range(2)]
        for peer in peers:
            stack.enter_context(dripping(peer.socket, SENSE))
        wait_until(lambda: all(Id.CLOSE in peer.numbers() for peer in peers))
        served.check()


def repeating(peer, message: bytes):
    """Send whole messages, for ever."""
    return sending(peer.send, itertools.repeat(message))


@pytest.mark.parametrize("message", [by_hand.text(5, b"still here"), by_hand.query(b"?")])
def test_a_line_has_a_deadline_whatever_else_comes(message):
    """Texts and queries keep a connection alive, not a seat."""
    patience = Patience(0.5, LONG, LONG, message=0.5)
    with serving(patience=patience) as served, served.connect() as peer:
        peer.send(*BEGIN, LINES[0])
        with repeating(peer, message):
            assert peer.sentence() == "the next line took longer than 1 s"


def test_a_scan_has_a_deadline_though_lines_come():
    """The same line again and again is no scan."""
    with serving(patience=Patience(scan=1.0)) as served, served.connect() as peer:
        peer.send(*BEGIN)
        with repeating(peer, LINES[0]):
            assert peer.sentence() == "the scan took longer than 1 s"


def test_a_scan_ends_at_many_more_lines_than_its_header_announces(monkeypatch):
    """A scan without end would keep its seat; of 32 lines in one slice, more than ten times as many are none."""
    monkeypatch.setattr(events, "SPARE_LINES", 0)
    with serving() as served, served.connect() as peer:
        peer.send(*BEGIN)
        with repeating(peer, LINES[0]):
            assert peer.sentence() == "more than 320 lines came, far more than the header announces"


def test_large_message_has_time_by_its_size():
    """What keeps to the pace is no slow peer, however long it takes; what falls behind is."""
    ours, theirs = socket.socketpair()
    line = by_hand.acquisition(by_hand.random_complex(1, 1024))
    with ours, theirs:
        ours.settimeout(LONG)
        for bytes_per_s, is_in_time in ((4e3, True), (4e6, False)):
            wire = Wire(ours, pace=Pace(LONG, 0.1, bytes_per_s))
            theirs.sendall(line[:-1])
            late = threading.Timer(0.4, theirs.sendall, (line[-1:],))
            late.start()
            if is_in_time:
                assert wire.read().body == line[2:]
            else:
                with pytest.raises(TooSlow, match="8,191 of 8,192 bytes"):
                    wire.read()
            late.join()


@contextlib.contextmanager
def monitor_of(served):
    """The port at which the server's monitor listens."""
    http = served.server.monitor.serve("localhost", 0)
    try:
        yield http.server_port
    finally:
        http.shutdown()
        http.server_close()


def test_monitor_answers_beside_dripping_askers(served, monkeypatch):
    """An orchestrator that gets no answer would end a healthy server; more than are heard at once make room."""
    monkeypatch.setattr(side_by_side, "MOST_QUESTIONS", 3)
    with monitor_of(served) as port, contextlib.ExitStack() as stack:
        for _ in range(5):
            asker = stack.enter_context(socket.create_connection(("localhost", port)))
            stack.enter_context(dripping(asker, b"GET /health HTTP/1.1\r\n" + b"X: y\r\n" * 1000))
        for path in ("health", "ready", "metrics"):
            with urllib.request.urlopen(f"http://localhost:{port}/{path}", timeout=5) as answer:
                assert answer.status == 200


def test_question_has_a_deadline(served, monkeypatch):
    """However it is asked."""
    monkeypatch.setattr(side_by_side, "ANSWER_SECONDS", 0.5)
    with monitor_of(served) as port, contextlib.ExitStack() as stack:
        asker = stack.enter_context(socket.create_connection(("localhost", port), timeout=LONG))
        stack.enter_context(dripping(asker, b"GET /health HTTP/1.1\r\n" + b"X: y\r\n" * 1000))
        with contextlib.suppress(ConnectionError):
            assert asker.recv(1) == b""
