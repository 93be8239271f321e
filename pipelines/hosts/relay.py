"""One scan on a worker: fed from the backlog, its output handed on, ended when it hangs or dies."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable

from pipelines.hosts.backlog import Backlog
from pipelines.hosts.pool import Worker
from pipelines.protocol.framing import CLOSE, Id, Message, WireError
from pipelines.protocol.messages import text_message, text_of
from pipelines.protocol.wire import Wire

NOT_FOR_CHAINS = (Id.TEXT, Id.RESPONSE)
LOOKS_PER_PATIENCE = 8


class Relay:
    """Runs a scan on `worker`. What it makes goes to `deliver`, in the thread that calls `run`.

    A worker that for `seconds` neither takes a message nor makes one is ended. Time in which it waits for the next
    message, or for `deliver`, is not its own and does not count; while it waits for the GPU it sends texts.
    """

    def __init__(
        self, worker: Worker, backlog: Backlog, deliver: Callable[[Message], None], *, seconds: float, give_back: bool
    ) -> None:
        self._worker, self._backlog, self._deliver = worker, backlog, deliver
        self._seconds, self._give_back = seconds, give_back
        self._over = threading.Event()
        self._is_abandoned = False
        self._is_fed = self._is_starved = self._is_delivering = False
        self._moved = time.monotonic()
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
        if self._is_abandoned:
            self.abandon()
        start = [text_message(Id.CONFIG_TEXT, config), text_message(Id.HEADER, header), *([first] if first else [])]
        wire = Wire(self._connection)
        threads = [threading.Thread(target=self._feed, args=(wire, start), daemon=True, name="feeder"),
                   threading.Thread(target=self._watch, daemon=True, name="watch")]  # fmt: skip
        for thread in threads:
            thread.start()
        try:
            while (message := wire.read()).id != Id.CLOSE:
                if message.id == Id.ERROR:
                    self._problem = self._problem or text_of(message)
                else:
                    self._hand_on(message)
        except WireError:
            self._over.set()
            if not self._is_abandoned:
                self._problem = self._problem or f"the reconstruction process {self._worker.how_it_ended()}"
        finally:
            self._over.set()
            self._backlog.drop()
            self.abandon()
            for thread in threads:
                thread.join()
            wire.close()
        return self._problem

    def abandon(self) -> None:
        """Cut the worker off: nobody waits for its images any more. It stops at its next read or write."""
        self._is_abandoned = True
        if self._connection is not None:
            try:
                self._connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                return  # it has gone already

    def _hand_on(self, message: Message) -> None:
        self._moved, self._is_delivering = time.monotonic(), True
        try:
            self._deliver(message)
        finally:
            self._moved, self._is_delivering = time.monotonic(), False

    def _feed(self, wire: Wire, messages: list[Message]) -> None:
        try:
            wire.send(*messages)
            while (arrived := self._next()) is not None:
                is_for_chain = arrived.id not in NOT_FOR_CHAINS and arrived.id != Id.WAVEFORM
                if is_for_chain or (self._give_back and arrived.id == Id.WAVEFORM):
                    wire.send(arrived)
            wire.send(CLOSE)
            self._moved, self._is_fed = time.monotonic(), True
        except OSError:
            return  # the worker is gone; whoever reads its output says so

    def _next(self) -> Message | None:
        self._is_starved = True
        try:
            return self._backlog.get()
        finally:
            self._moved, self._is_starved = time.monotonic(), False

    def _watch(self) -> None:
        """End the worker when it is its turn and it does nothing."""
        while not self._over.wait(self._seconds / LOOKS_PER_PATIENCE):
            is_its_turn = not self._is_starved and not self._is_delivering
            if is_its_turn and time.monotonic() - self._moved > self._seconds:
                did = "made nothing" if self._is_fed else "took no data"
                after = " after the last line" if self._is_fed else ""
                self._problem = self._problem or (
                    f"the reconstruction {did} for {self._seconds:g} s{after} and was ended"
                )
                self._worker.kill()
                self.abandon()  # its socket may stay open: a process that cannot die, or a child that has it too
                return
