"""However a connection goes on, slowly, one way only, or not at all: it ends, and no thread stays behind."""

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Iterator

import ismrmrd
import numpy as np
import pytest

from gadgets.errors import ScanError
from pipelines.chain.verdict import Verdict
from pipelines.files.finished_file import FileProblem
from pipelines.hosts.client import Client, Target
from pipelines.protocol.framing import WireError
from pipelines.protocol.wire import Wire
from tests.pipelines.mrd_samples import line
from tests.streaming import bytes_by_hand as by_hand
from tests.streaming.stand_in import IMAGE, LONG_SCAN, N_LINES, answer, heavy_lines, outcome, peer, to_close

CLOSED = "no CLOSE came: peer closed while a message number was read: 0 of 2 bytes"


def test_images_come_while_lines_go():
    """A server that sends before it has read all is heard at once: neither waits for the other."""
    taken, large = [], by_hand.image(np.zeros((1, 1, 512, 512), "<f4"), 5)

    def behave(wire: Wire) -> None:
        for _ in range(3):
            wire.read()
        wire.socket.sendall(large * 40)  # 40 MB: blocks until somebody reads
        to_close(wire)
        wire.socket.sendall(by_hand.CLOSE)

    with peer(behave) as target:
        n_images, problem, _, _ = outcome(target, heavy_lines(taken, 30))
    assert (n_images, problem, len(taken)) == (40, None, 30)


@pytest.mark.parametrize("farewell", [b"", by_hand.CLOSE, IMAGE + by_hand.CLOSE])
def test_sending_stops_when_the_server_has_closed(farewell):
    """Nobody reads the rest of the scan."""
    taken = []

    def behave(wire: Wire) -> None:
        for _ in range(5):
            wire.read()
        wire.socket.sendall(farewell)

    with peer(behave) as target:
        n_images, problem, verdict, _ = outcome(target, heavy_lines(taken))
    assert n_images == farewell.startswith(IMAGE)
    assert "no CLOSE came" in problem if not farewell else "before the last was sent" in problem
    assert verdict.n_lines <= len(taken) < LONG_SCAN / 10


def test_sleeping_source_wakes_when_the_server_has_closed():
    """A paced scan may be about to wait for seconds."""
    started = time.monotonic()

    def behave(wire: Wire) -> None:
        for _ in range(3):  # configuration, header, one line
            wire.read()
        wire.socket.sendall(by_hand.CLOSE)

    with peer(behave) as target:
        client = Client(target)

        def slow() -> Iterator[ismrmrd.Acquisition]:
            yield line(0)
            client.closed.wait(60)
            yield line(1)

        with pytest.raises(ScanError, match="closed after 1 line, before the last was sent"):
            list(client.run("<ismrmrdHeader/>", slow(), Verdict()))
    assert time.monotonic() - started < 30


def test_connection_that_is_reset():
    """What a crashed server leaves; images before it are kept."""

    def behave(wire: Wire) -> None:
        to_close(wire)
        wire.socket.sendall(IMAGE)
        time.sleep(0.2)
        wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        wire.close()

    with peer(behave) as target:
        n_images, problem, _, _ = outcome(target)
    assert (n_images, problem) == (1, CLOSED)


def test_silence_after_the_last_line_ends():
    """A server that hangs is given up; one that speaks now and then is not."""

    def behave(wire: Wire) -> None:
        to_close(wire)
        for _ in range(4):
            time.sleep(0.3)  # all together longer than the patience
            wire.socket.sendall(by_hand.text(5, b"INFO    still here"))
        wire.socket.sendall(IMAGE)
        with contextlib.suppress(WireError):
            wire.read()

    with peer(behave, patience=1.0) as target:
        n_images, problem, _, heard = outcome(target)
    assert (n_images, len(heard)) == (1, 4)
    assert problem == f"the server was silent for 1 s, after {N_LINES} lines"


def test_server_that_takes_no_data_ends():
    """Its buffers fill, and nothing moves any more."""
    gone = threading.Event()

    def behave(_: Wire) -> None:
        gone.wait(20)

    taken = []
    with peer(behave, patience=0.5) as target:
        n_images, problem, _, _ = outcome(target, heavy_lines(taken))
        gone.set()
    assert n_images == 0
    assert problem.startswith("the server took no data for 0.5 s, after ")
    assert len(taken) < LONG_SCAN / 10


def test_server_that_accepts_slowly_is_waited_for():
    """Patience bounds silence, not slowness: a line that dribbles away for longer is no failure."""

    def behave(wire: Wire) -> None:
        wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        for _ in range(8):
            time.sleep(0.2)
            wire.read()
        to_close(wire)
        wire.socket.sendall(IMAGE + by_hand.CLOSE)

    with peer(behave, patience=1.0) as target:
        assert outcome(target, heavy_lines([], 20))[1] is None


def test_nobody_listens():
    """The sentence says where."""
    with socket.create_server(("localhost", 0)) as listener:
        port = listener.getsockname()[1]
    assert outcome(Target("localhost", port))[1] == f"no connection to localhost:{port} (Connection refused)"
    assert outcome(Target("no..name", 1))[1].startswith("no connection to no..name:1 (")


@pytest.mark.parametrize("problem", [FileProblem("scan.h5: line 3 has 5 values"), OSError(5, "Input/output error")])
def test_file_that_breaks_while_it_is_read(problem):
    """The caller hears it, not the server's reaction; the server gets no CLOSE for half a scan."""
    ending = []

    def behave(wire: Wire) -> None:
        try:
            to_close(wire)
        except WireError as error:
            ending.append(error)

    def broken() -> Iterator[ismrmrd.Acquisition]:
        yield line(0)
        raise problem

    with peer(behave) as target, pytest.raises(type(problem)) as raised:
        list(Client(target).run("<ismrmrdHeader/>", broken(), Verdict()))
    assert raised.value is problem
    assert len(ending) == 1


def test_caller_that_stops_ends_the_connection():
    """A full disk, or Ctrl-C: no thread stays behind."""
    n_threads = threading.active_count()
    with peer(answer(IMAGE, reads=False)) as target:
        images = Client(target).run("<ismrmrdHeader/>", heavy_lines([]), Verdict())
        next(images)
        images.close()
    assert threading.active_count() <= n_threads


def test_slow_caller_is_not_the_servers_silence():
    """Writing an image may take longer than the patience."""
    with peer(answer(IMAGE, IMAGE, by_hand.CLOSE), patience=1.0) as target:
        n_images = 0
        for _ in Client(target).run("<ismrmrdHeader/>", map(line, range(3)), Verdict()):
            n_images += 1
            time.sleep(1.3)
    assert n_images == 2


def test_latency_counts_from_the_last_line():
    """The image comes 0.3 s after CLOSE, however long the lines took."""

    def behave(wire: Wire) -> None:
        to_close(wire)
        time.sleep(0.3)
        wire.socket.sendall(IMAGE + by_hand.CLOSE)

    def slow() -> Iterator[ismrmrd.Acquisition]:
        yield line(0)
        time.sleep(3.0)
        yield line(1)

    with peer(behave) as target:
        _, _, verdict, _ = outcome(target, slow())
    assert 0.3 <= verdict.latency < 3.0
