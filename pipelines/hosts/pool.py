"""The server's warm workers: hand one a scan, take it back, replace it when it is lost."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress

from pipelines.hosts.worker_protocol import DONE, READY

log = logging.getLogger(__name__)

START_SECONDS = 120.0
DONE_SECONDS = 10.0
END_SECONDS = 5.0
RETRY_SECONDS = 1.0
MODULE = "pipelines.hosts.worker"


class Worker:
    """One worker process. `serve` hands it a scan; it belongs to one session until it is given back."""

    def __init__(self, memory_bytes: int, module: str = MODULE) -> None:
        self._control, theirs = socket.socketpair()
        command = [sys.executable, "-m", module, str(theirs.fileno()), str(memory_bytes)]
        with theirs:
            self.process = subprocess.Popen(
                command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, start_new_session=True
            )

    def wait_until_ready(self) -> bool:
        """Wait for the worker's imports and warm-up; False if it died or takes too long."""
        return self._hear(READY, START_SECONDS)

    def serve(self, scan_id: str) -> socket.socket:
        """Hand the worker one end of a new connection, return the other. Raises `OSError` if the worker is gone."""
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                socket.send_fds(self._control, [scan_id.encode()], [theirs.fileno()])
            except OSError:
                ours.close()
                raise
        return ours

    def is_done(self) -> bool:
        """Whether the worker has finished its scan and lives."""
        return self._hear(DONE, DONE_SECONDS) and self.is_alive()

    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self.process.poll() is None

    def kill(self) -> None:
        """End the process and those it has started, whatever they do; one that a driver holds ends when it can."""
        with suppress(ProcessLookupError):
            if self.is_alive():
                os.killpg(self.process.pid, signal.SIGKILL)
        try:
            self.process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            log.error("worker %d has been killed, but does not end", self.process.pid)
        self._control.close()

    def how_it_ended(self) -> str:
        """Say how the process ended, for the sentence that the client gets."""
        try:
            code = self.process.wait(timeout=END_SECONDS)
        except subprocess.TimeoutExpired:
            return "stopped answering"
        return f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"

    def _hear(self, word: bytes, seconds: float) -> bool:
        try:
            self._control.settimeout(seconds)
            return self._control.recv(len(word), socket.MSG_WAITALL) == word
        except OSError:
            return False


class Pool:
    """`size` workers, started ahead; sessions queue for them. `module` is what they run."""

    def __init__(self, size: int, *, memory_bytes: int | None = None, module: str = MODULE) -> None:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        self._memory = int(0.8 * total / size) if memory_bytes is None else memory_bytes
        self._module, self.size = module, size
        self._idle: list[Worker] = []
        self._at_work: set[Worker] = set()
        self._changed = threading.Condition()
        self._stopped = False
        self.n_waiting = 0
        for _ in range(size):
            self._start_one()

    @property
    def n_idle(self) -> int:
        """Workers ready for a scan."""
        return len(self._idle)

    def take(self, seconds: float) -> Worker | None:
        """Take an idle worker, waiting up to `seconds`; None if none came free."""
        end = time.monotonic() + seconds
        with self._changed:
            self.n_waiting += 1
            try:
                while self._changed.wait_for(lambda: self._idle or self._stopped, end - time.monotonic()):
                    if not self._idle:
                        return None
                    worker = self._idle.pop()
                    if worker.is_alive():
                        self._at_work.add(worker)
                        return worker
                    self._replace(worker)
                return None
            finally:
                self.n_waiting -= 1

    def give_back(self, worker: Worker) -> None:
        """Return a worker after its scan; one that is not done with it is killed and replaced."""
        is_done = worker.is_done()
        with self._changed:
            self._at_work.discard(worker)
        if is_done:
            self._add(worker)
        else:
            self._replace(worker)

    def stop(self) -> None:
        """End all idle workers and start no more."""
        with self._changed:
            self._stopped = True
            idle, self._idle = self._idle, []
            self._changed.notify_all()
        for worker in idle:
            worker.kill()

    def kill(self) -> None:
        """After `stop`, end those workers too that are still at a scan."""
        with self._changed:
            at_work = list(self._at_work)
        for worker in at_work:
            worker.kill()

    def _replace(self, worker: Worker) -> None:
        log.warning("worker %d is lost and replaced", worker.process.pid)
        worker.kill()
        self._start_one()

    def _start_one(self) -> None:
        threading.Thread(target=self._start, daemon=True, name="start worker").start()

    def _start(self) -> None:
        while not self._stopped:
            try:
                worker = Worker(self._memory, self._module)
            except OSError as error:  # of descriptors, processes or memory there may be more later
                log.error("a worker did not start: %s", error)
            else:
                if worker.wait_until_ready():
                    self._add(worker)
                    return
                log.error("a worker did not start: it %s", worker.how_it_ended())
                worker.kill()
            time.sleep(RETRY_SECONDS)

    def _add(self, worker: Worker) -> None:
        with self._changed:
            if not self._stopped:
                self._idle.append(worker)
                self._changed.notify()
                return
        worker.kill()
