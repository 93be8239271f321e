"""The MRD server: one port, a thread for each connection, warm workers behind them."""

from __future__ import annotations

import importlib.metadata
import logging
import socket
import threading
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

import structlog

from kband_core.plural import counted
from pipelines.hosts.backlog import Backlog
from pipelines.hosts.events import Ended, Event, Events, Keeper, Subscriber
from pipelines.hosts.monitor import Monitor
from pipelines.hosts.pool import MODULE, Pool
from pipelines.hosts.scan_log import log_scan
from pipelines.hosts.session import Patience, Session

log = logging.getLogger(__name__)

LAST_WORDS_SECONDS = 3.0


@dataclass(frozen=True)
class Settings:
    """How a server serves. `most_connections` counts scans that run and that wait; bytes bound each scan's backlog.

    As many more are read, kept and told that the server is busy; beyond those, connections are closed.
    """

    address: str = "localhost"
    port: int = 9002
    n_workers: int = 2
    most_connections: int = 16
    backlog_bytes: int = 256 << 20
    memory_bytes: int | None = None
    patience: Patience = field(default_factory=Patience)
    worker_module: str = MODULE


class Server:
    """Accepts connections until `stop`. What happens to scans is told to the log, to `monitor` and to `subscribers`."""

    def __init__(self, settings: Settings, *subscribers: Subscriber) -> None:
        self._settings = settings
        self._listener = socket.create_server((settings.address, settings.port), backlog=settings.most_connections)
        self._sessions: dict[threading.Thread, tuple[Session, Backlog]] = {}
        self._running: set[str] = set()  # scans that run or wait, up to the moment when they end and say so
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._pool = Pool(settings.n_workers, memory_bytes=settings.memory_bytes, module=settings.worker_module)
        self.monitor = Monitor(self.state)
        self._keepers = [each for each in subscribers if isinstance(each, Keeper)]
        self._events = Events(log_scan, self.monitor, self._notice, *subscribers)

    @property
    def port(self) -> int:
        """The port it listens on; chosen by the system if the setting was 0."""
        return self._listener.getsockname()[1]

    def state(self) -> dict[str, Any]:
        """Readiness and load, for monitors and queries."""
        with self._lock:
            backlogs = [backlog for _, backlog in self._sessions.values()]
        return {
            "kband": importlib.metadata.version("kband"),
            "ready": self._pool.n_idle > 0 and not self._stopping.is_set(),
            "workers": self._pool.size,
            "workers_idle": self._pool.n_idle,
            "scans_running": len(backlogs),
            "scans_waiting": self._pool.n_waiting,
            "queue_bytes": sum(backlog.n_bytes for backlog in backlogs),
            "scans_not_kept": sum(keeper.n_not_kept for keeper in self._keepers),
            "keeping_problem": next((keeper.problem for keeper in self._keepers if keeper.problem), None),
        }

    def serve_forever(self) -> None:
        """Accept connections until `stop` is called."""
        self._listener.settimeout(0.5)
        while not self._stopping.is_set():
            try:
                connection, peer = self._listener.accept()
            except TimeoutError:
                continue
            except OSError as error:
                if not self._stopping.is_set():
                    log.error("a connection could not be accepted: %s", error)
                    time.sleep(0.1)
                continue
            try:
                self._admit(connection, peer)
            except (OSError, RuntimeError) as error:  # it has gone already, or no thread can be started
                log.error("%s could not be served: %s", peer, error)
                connection.close()

    def stop(self, seconds: float) -> bool:
        """Take no more scans, let the running ones finish within `seconds`, end the workers; whether all finished."""
        with self._lock:
            self._stopping.set()
            running = dict(self._sessions)
        self._listener.close()
        end = time.monotonic() + seconds
        for thread in running:
            thread.join(max(end - time.monotonic(), 0))
        unfinished = [thread for thread in running if thread.is_alive()]
        for thread in unfinished:
            running[thread][0].abandon()
        self._pool.stop()
        self._pool.kill()
        for last in (False, True):
            end = time.monotonic() + LAST_WORDS_SECONDS
            for thread in unfinished:
                if last and thread.is_alive():
                    running[thread][0].hang_up()
                thread.join(max(end - time.monotonic(), 0))
        return not unfinished

    def _admit(self, connection: socket.socket, peer: Any) -> None:
        keep_alive(connection)
        most = self._settings.most_connections
        with self._lock:
            n_open, n_running = len(self._sessions), len(self._running)
        if n_open >= 2 * most:
            log.warning("%s turned away: %d connections are open", peer, n_open)
            connection.close()
            return
        scan_id, backlog, is_busy = uuid.uuid4().hex[:12], Backlog(self._settings.backlog_bytes), n_running >= most
        running = counted(n_running, "scan runs or waits", "scans run or wait")
        session = Session(
            connection, self._pool, scan_id, peer=f"{peer[0]}:{peer[1]}", patience=self._settings.patience,
            backlog=backlog, announce=self._events.announce, answer=self.monitor.answer,
            refusal=f"server busy: {running}, at most {most} are accepted" if is_busy else None,
        )  # fmt: skip
        thread = threading.Thread(target=self._run, args=(session, scan_id), daemon=True, name="scan")
        with self._lock:
            if self._stopping.is_set():
                connection.close()
                return
            self._sessions[thread] = session, backlog
            if not is_busy:
                self._running.add(scan_id)
        try:
            thread.start()
        except RuntimeError:
            self._forget(thread, scan_id)
            raise

    def _run(self, session: Session, scan_id: str) -> None:
        structlog.contextvars.bind_contextvars(scan=scan_id)
        try:
            session.run()
        except Exception:
            log.exception("a session failed; the server goes on")
        finally:
            self._forget(threading.current_thread(), scan_id)

    def _forget(self, thread: threading.Thread, scan_id: str) -> None:
        with self._lock:
            del self._sessions[thread]
            self._running.discard(scan_id)

    def _notice(self, event: Event) -> None:
        """Count a scan no longer when it has ended: its peer, who hears that later, may bring the next one at once."""
        if isinstance(event, Ended):
            with self._lock:
                self._running.discard(event.scan_id)


def keep_alive(connection: socket.socket) -> None:
    """Let the system find out within two minutes that a silent peer has gone; send small messages at once."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4)):
        if hasattr(socket, option):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
