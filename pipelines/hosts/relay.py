"""One scan on a worker: fed from the backlog, its output handed on, ended when it hangs or dies."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable

from pipelines.hosts.backlog import Backlog
from pipelines.hosts.messages import text_message, text_of
from pipelines.hosts.pool import Worker
from pipelines.hosts.wire import Id, Message, Wire, WireError

CLOSE = Message(Id.CLOSE)
NOT_FOR_CHAINS = (Id.WAVEFORM, Id.TEXT, Id.RESPONSE)


class Relay:
    """Runs a scan on `worker`. What it makes goes to `deliver`, in the thread that calls `run`."""

    def __init__(
        self, worker: Worker, backlog: Backlog, deliver: Callable[[Message], None], *, seconds: float, give_back: bool
    ) -> None:
        self._worker, self._backlog, self._deliver = worker, backlog, deliver
        self._seconds, self._give_back = seconds, give_back
        self._over = threading.Event()
        self._n_made = 0
        self._problem: str | None = None
        self._connection: socket.socket | None = None

    def run(self, scan_id: str, config: str, header: str, first: Message | None) -> str | None:
        """Run the scan to its end; return what went wrong, or None.

        `first` is a message that was taken from the backlog before. Raises what `deliver` raises.
        """
        try:
            self._connection = self._worker.serve(scan_id)
        except OSError:
            return f"the reconstruction process {self._worker.how_it_ended()}"
        start = [text_message(Id.CONFIG_TEXT, config), text_message(Id.HEADER, header), *([first] if first else [])]
        wire = Wire(self._connection)
        feeder = threading.Thread(target=self._feed, args=(wire, start), daemon=True, name="feeder")
        feeder.start()
        try:
            while (message := wire.read()).id != Id.CLOSE:
                if message.id == Id.ERROR:
                    self._problem = self._problem or text_of(message)
                else:
                    self._deliver(message)
                    self._n_made += 1
        except WireError:
            self._problem = self._problem or f"the reconstruction process {self._worker.how_it_ended()}"
        finally:
            self._over.set()
            self._backlog.drop()
            self.abandon()
            feeder.join()
            wire.close()
        return self._problem

    def abandon(self) -> None:
        """Cut the worker off: nobody waits for its images any more. It stops at its next read or write."""
        if self._connection is not None:
            try:
                self._connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                return  # it has gone already

    def _feed(self, wire: Wire, messages: list[Message]) -> None:
        whole, fraction = divmod(self._seconds, 1)
        limit = struct.pack("ll", int(whole), int(fraction * 1e6))
        wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        try:
            wire.send(*messages)
            while (arrived := self._backlog.get()) is not None:
                if self._give_back or arrived.id not in NOT_FOR_CHAINS:
                    wire.send(arrived)
            wire.send(CLOSE)
            self._watch()
        except BlockingIOError:
            self._end(f"the reconstruction took no data for {self._seconds:g} s and was ended")
        except OSError:
            return  # the worker is gone; whoever reads its output says so

    def _watch(self) -> None:
        """After the last line, wait as long as images keep coming."""
        n_made = -1
        while n_made != self._n_made:
            n_made = self._n_made
            if self._over.wait(self._seconds):
                return
        self._end(f"the reconstruction made nothing for {self._seconds:g} s after the last line and was ended")

    def _end(self, problem: str) -> None:
        self._problem = self._problem or problem
        self._worker.kill()
