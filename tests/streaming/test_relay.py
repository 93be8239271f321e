"""A scan on a worker ends, whatever has become of the worker."""

import socket
import threading

from pipelines.hosts.backlog import Backlog
from pipelines.hosts.relay import Relay
from tests.streaming.serving import LONG


class Unkillable:
    """A worker held by a driver, or one whose child holds its socket: it is killed, and the socket stays open."""

    def __init__(self) -> None:
        self.was_killed = False

    def serve(self, scan_id: str) -> socket.socket:
        ours, self.theirs = socket.socketpair()
        return ours

    def kill(self) -> None:
        self.was_killed = True


def test_scan_ends_though_its_worker_does_not():
    """Patience is the client's: it hears the sentence, and the scan's threads end."""
    worker, backlog, said = Unkillable(), Backlog(1 << 20), []
    backlog.end()
    relay = Relay(worker, backlog, lambda message: None, seconds=0.1, give_back=False)
    scan = threading.Thread(target=lambda: said.append(relay.run("scan", "<a/>", "<b/>", None)), daemon=True)
    scan.start()
    scan.join(LONG / 4)
    with worker.theirs:
        assert not scan.is_alive()
    assert worker.was_killed
    assert said == ["the reconstruction made nothing for 0.1 s after the last line and was ended"]
