"""One connection: a scan from a client or from Gadgetron, through a worker, and back."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import ismrmrd
import structlog

from gadgets.errors import PipelineError
from pipelines.hosts.backlog import Backlog
from pipelines.hosts.dialect import Dialect
from pipelines.hosts.messages import text_of
from pipelines.hosts.pool import Pool
from pipelines.hosts.relay import CLOSE, Relay
from pipelines.hosts.request import Request
from pipelines.hosts.wire import Id, Message, Wire, WireError
from pipelines.run import Verdict

log = logging.getLogger(__name__)

LINGER_SECONDS = 2.0


@dataclass(frozen=True)
class Patience:
    """Seconds a session waits: for the peer's next byte, for a free worker, for a worker that should compute."""

    peer: float = 600.0
    worker: float = 300.0
    computation: float = 120.0


@dataclass
class Record:
    """What a session did, for log, journal and metrics. `kind` sorts failures: peer, request, busy, reconstruction."""

    scan_id: str
    pipeline: str = ""
    verdict: Verdict = field(default_factory=Verdict)
    problem: str | None = None
    kind: str | None = None
    images: list[dict[str, Any]] = field(default_factory=list)


class Session:
    """Runs one connection to its end: always exactly one CLOSE, and one sentence for whatever went wrong.

    This thread starts the scan and hands the worker's images to the peer; another reads the peer to its CLOSE, journals
    each message, and puts it in the backlog, from which the relay's thread feeds the worker. Nothing that goes wrong
    with the worker stops the reading, so that nothing that was sent is lost.
    """

    def __init__(
        self, connection: socket.socket, pool: Pool, scan_id: str, *, patience: Patience, backlog_bytes: int,
        open_journal: Callable[[str, str], Any], answer: Callable[[str], str],
    ) -> None:  # fmt: skip
        connection.settimeout(patience.peer)
        self.record = Record(scan_id)
        self.backlog = Backlog(backlog_bytes)
        self._wire = Wire(connection)
        self._pool, self._patience = pool, patience
        self._open_journal, self._answer = open_journal, answer
        self._dialect = Dialect()
        self._reader = threading.Thread(target=self._read_peer, daemon=True, name="reader")
        self._relay: Relay | None = None
        self._journal: Any = None
        self._is_broken = False  # the peer is gone, or what it sends cannot be read
        self._last_line: float | None = None

    def run(self) -> Record:
        """Serve the connection; what peer and gadgets do wrong ends in the record, not in an exception."""
        try:
            request, header = self._start()
            if header is not None:
                self._journal = self._open_journal(self.record.scan_id, header)
                self._reader.start()
                if request is not None:
                    self._reconstruct(request, header)
        except PipelineError as error:
            self._fail("request", str(error))
        except OSError as error:
            self._break_off(error)
        self.backlog.drop()
        self._finish()
        return self.record

    def abandon(self) -> None:
        """End at once, as at a server that must stop: the peer sees its connection close."""
        self._wire.socket.shutdown(socket.SHUT_RDWR)

    def _start(self) -> tuple[Request | None, str | None]:
        """Read configuration and header; without a header there is no scan, only a question."""
        config = self._read_control()
        if config.id == Id.CLOSE:
            return None, None
        if config.id not in (Id.CONFIG_FILE, Id.CONFIG_TEXT):
            raise WireError(f"message {config.id} came before any configuration")
        request = None
        try:
            request = Request(config)
            self._dialect = Dialect(request.is_from_gadgetron, self._dialect.nul)
            self.record.pipeline = request.name or "sent as text"
        except PipelineError as error:
            self._fail("request", str(error))
        header = self._read_control()
        if header.id == Id.CLOSE:
            return request, None
        if header.id != Id.HEADER:
            raise WireError(f"message {header.id} came, a header (3) was expected")
        return request, text_of(header)

    def _read_control(self) -> Message:
        """Read on to what is not a query; queries are answered in every state."""
        while True:
            message = self._wire.read()
            self._dialect = self._dialect.heard(message)
            if message.id != Id.QUERY:
                return message
            self._respond(message)

    def _respond(self, query: Message) -> None:
        correlation, answer = bytes(query.parts[0][8:16]), self._answer(text_of(query)).encode()
        self._wire.send(Message(Id.RESPONSE, (correlation, len(answer).to_bytes(8, "little"), answer)))

    def _reconstruct(self, request: Request, header: str) -> None:
        """Wait for data, which parameters may precede, then give the scan to a worker."""
        first = self.backlog.get()
        while first is not None and first.id == Id.TEXT:
            request.override(text_of(first))
            self.record.pipeline = request.name or self.record.pipeline
            first = self.backlog.get()
        config = request.xml()
        worker = self._pool.take(self._patience.worker)
        if worker is None:
            self._fail("busy", f"no worker came free within {self._patience.worker:g} s; {self._pool.size} are busy")
            return
        try:
            self._remark("INFO", f"scan {self.record.scan_id}: {self.record.pipeline}")
            self._relay = Relay(worker, self.backlog, self._deliver, seconds=self._patience.computation,
                                give_back=self._dialect.is_parent)  # fmt: skip
            problem = self._relay.run(self.record.scan_id, config, header, first)
        finally:
            self._pool.give_back(worker)
        if problem and not self._is_broken:
            self._fail("reconstruction", problem)

    def _deliver(self, message: Message) -> None:
        """Hand the worker's message to the peer, in the peer's dialect."""
        verdict = self.record.verdict
        if message.id == Id.IMAGE:
            self._wire.send(self._dialect.image(message))
            self._count(message)
        elif message.id == Id.IMAGE_ARRAY or self._dialect.is_parent:
            self._wire.send(message)
            verdict.n_images += message.id == Id.IMAGE_ARRAY
        if self._last_line is not None and message.id in (Id.IMAGE, Id.IMAGE_ARRAY):
            verdict.latency = time.monotonic() - self._last_line

    def _count(self, message: Message) -> None:
        attributes = bytes(message.parts[2]).rstrip(b"\0").decode(errors="replace")
        image = ismrmrd.Image(bytes(message.parts[0]), attributes)
        is_flawed = self.record.verdict.count(image)
        wanted = ("kband_method", "kband_lines", "kband_complete", "kband_fallback")
        self.record.images.append({"slice": image.slice, **{name: image.meta.get(name) for name in wanted}})
        if is_flawed:
            self._remark("WARNING", f"slice {image.slice}: {image.meta.get('ImageComments')}")

    def _read_peer(self) -> None:
        """Read and journal to the peer's CLOSE."""
        structlog.contextvars.bind_contextvars(scan=self.record.scan_id)
        try:
            while (message := self._read_control()).id != Id.CLOSE:
                self._journal.append(message)
                if message.id == Id.ACQUISITION:
                    self._last_line = time.monotonic()
                    self.record.verdict.n_lines += 1
                self.backlog.put(message)
            self.backlog.end()
        except OSError as error:
            self._break_off(error)

    def _break_off(self, error: OSError) -> None:
        """The peer cannot be read or written any more: there is nobody to compute for."""
        self._is_broken = True
        silent = f"the peer was silent for {self._patience.peer:g} s"
        self._fail("peer", silent if isinstance(error, TimeoutError) else str(error))
        self.backlog.drop()
        if self._relay is not None:
            self._relay.abandon()

    def _fail(self, kind: str, sentence: str) -> None:
        """Remember the first thing that went wrong. A client hears it at once, Gadgetron after its CLOSE."""
        if self.record.problem is not None:
            return
        self.record.kind, self.record.problem = kind, sentence
        log.error("%s", sentence)
        if not self._dialect.is_parent:
            self._remark("ERROR", sentence)

    def _remark(self, level: str, sentence: str) -> None:
        message = self._dialect.remark(level, sentence)
        if message is None:
            return
        try:
            self._wire.send(message)
        except OSError as error:
            log.info("the peer does not listen: %s", error)

    def _finish(self) -> None:
        """Read the peer to its CLOSE, say what must be said after it, and CLOSE."""
        if self._reader.ident is not None:
            self._reader.join()
        try:
            if self.record.problem and self._dialect.is_parent:
                self._wire.send(self._dialect.failure(self.record.problem))
            self._wire.send(CLOSE)
            self._linger()
        except OSError as error:
            log.info("the peer is gone: %s", error)
        finally:
            self._wire.close()
            if self._journal is not None:
                self._journal.end(self.summary())

    def _linger(self) -> None:
        """Let the peer read our CLOSE: a socket that is closed with unread data resets the connection."""
        connection = self._wire.socket
        connection.shutdown(socket.SHUT_WR)
        connection.settimeout(LINGER_SECONDS)
        deadline = time.monotonic() + LINGER_SECONDS
        while time.monotonic() < deadline and connection.recv(1 << 16):
            pass

    def summary(self) -> dict[str, Any]:
        """The verdict on the scan, for the log and the journal."""
        verdict = self.record.verdict
        return {
            "scan": self.record.scan_id, "pipeline": self.record.pipeline, "lines": verdict.n_lines,
            "images": verdict.n_images, "fallback": verdict.n_fallback, "incomplete": verdict.n_incomplete,
            "problem": self.record.problem or verdict.flaw, "latency_s": verdict.latency, "image": self.record.images,
        }  # fmt: skip
