"""No worker, and nothing that it started, outlives who has ended it: it would keep memory and GPU from the next."""

import socket
from pathlib import Path

from pipelines.hosts.pool import Worker
from pipelines.protocol.messages import text_message
from pipelines.protocol.wire import Id, Wire
from tests.streaming import bytes_by_hand as by_hand
from tests.streaming.serving import LONG, serving, tiny_scan
from tests.streaming.test_server_gadgets import MEMORY_BYTES, bad, client_config, gadget

HEADER, LINES = tiny_scan()
BAD = "tests.streaming.bad_worker"


def test_worker_ends_with_its_server(monkeypatch):
    """However the server died, and whatever a gadget does: here one that never comes back."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    worker = Worker(MEMORY_BYTES, BAD)
    try:
        assert worker.wait_until_ready()
        with worker.serve("scan") as connection:
            connection.settimeout(LONG)
            wire = Wire(connection)
            config = f"<configuration>{gadget('BadGadget', how='spins', after=2)}</configuration>"
            wire.send(text_message(Id.CONFIG_TEXT, config), text_message(Id.HEADER, HEADER))
            connection.sendall(b"".join(LINES))
            assert [wire.read().id for _ in range(3)] == [Id.TEXT, Id.ACQUISITION, Id.ACQUISITION]
            assert worker.is_alive()
            worker._control.close()  # as the system does for a process that has been killed
            assert worker.process.wait(LONG) == 1
    finally:
        worker.kill()


def test_server_that_stops_leaves_no_worker():
    """One that hangs is not waited for, and not left behind."""
    with serving(n_workers=1, worker_module=BAD, memory_bytes=MEMORY_BYTES) as served, served.connect() as peer:
        (worker,) = served.server._pool._idle
        peer.send(client_config(bad("hangs", 2)), by_hand.text(3, HEADER), *LINES, by_hand.CLOSE).wait_for(Id.TEXT)
        assert not served.server.stop(0)
        assert not worker.is_alive()


def test_what_a_worker_started_ends_with_it(monkeypatch):
    """A gadget may have forked; its child holds the scan's socket, and the lock of the GPU."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    worker = Worker(0, "tests.streaming.forking_worker")
    assert worker.wait_until_ready()
    with socket.socket(fileno=worker._control.detach()) as control:
        control.settimeout(LONG / 4)
        worker.kill()
        assert control.recv(1) == b""  # nobody holds the other end
