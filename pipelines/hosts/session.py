"""One connection: a scan from a client or from Gadgetron, through a worker, and back."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import structlog

from gadgets.errors import PipelineError
from pipelines.hosts.backlog import Backlog
from pipelines.hosts.delivery import Delivery
from pipelines.hosts.events import Arrived, Began, Ended, Event, Facts, Failed, Opened
from pipelines.hosts.patience import Patience
from pipelines.hosts.pool import Pool
from pipelines.hosts.relay import Relay
from pipelines.protocol.dialect import Dialect
from pipelines.protocol.framing import Id, Message, WireError
from pipelines.protocol.messages import decode_line, text_of
from pipelines.protocol.punctuality import AT_ANY_TIME, Deadline
from pipelines.protocol.request import Request, looks_like_parent
from pipelines.protocol.voice import Voice
from pipelines.protocol.wire import Wire

log = logging.getLogger(__name__)

LONGEST_SENTENCE = 1000  # characters
LINES = (Id.ACQUISITION, Id.RECON_DATA, Id.IMAGE, Id.IMAGE_ARRAY)  # for which a worker waits
UNEXPECTED = {Id.CONFIG_FILE: "a configuration", Id.CONFIG_TEXT: "a configuration", Id.HEADER: "a header",
              Id.ERROR: "an error"}  # fmt: skip


class Session:
    """Runs one connection to its end: always exactly one CLOSE, and one sentence for whatever went wrong.

    This thread starts the scan and hands the worker's images to the peer; another reads the peer to its CLOSE,
    announces each message, and puts it in the backlog, from which the relay's thread feeds the worker. Nothing that
    goes wrong with the worker stops the reading, so that nothing that was sent is lost. With a `refusal` all is read
    and announced, and nothing computed. What it knows of the scan a session announces; nobody looks into it.
    """

    def __init__(
        self, connection: socket.socket, pool: Pool, scan_id: str, *, peer: str, patience: Patience, backlog: Backlog,
        announce: Callable[[Event], object], answer: Callable[[str], str], refusal: str | None = None,
    ) -> None:  # fmt: skip
        connection.settimeout(patience.peer)
        self._scan_id, self._peer, self._pipeline = scan_id, peer, ""
        self._wire = Wire(connection, pace=patience.pace)
        self._voice = Voice(self._wire)
        self._pool, self._patience, self._backlog = pool, patience, backlog
        self._announce, self._answer, self._refusal = announce, answer, refusal
        self._reader = threading.Thread(target=self._guard, args=(self._read_peer,), daemon=True, name="reader")
        self._relay: Relay | None = None
        self._failing = threading.Lock()
        self._is_given_up = self._is_heard_out = False
        self._warned: set[Id] = set()
        self._takes_images = True
        self._coils: int | None = None
        self._most_lines: int | None = None
        self._delivery = Delivery(scan_id, self._voice, announce, self._begin)
        self._problem: str | None = None
        self._unsaid: tuple[str, str] | None = None

    def run(self) -> None:
        """Serve the connection; whatever goes wrong is announced, and raises nothing."""
        self._guard(self._serve)
        self._backlog.drop()
        if self._reader.ident is not None:
            self._reader.join()
        if self._unsaid is not None:
            self._say(*self._unsaid)
        self._announce(Ended(self._scan_id, self._pipeline, self._problem,
                             self._delivery.verdict, self._delivery.images))  # fmt: skip
        self._voice.close(self._problem, is_heard_out=self._is_heard_out)

    def abandon(self) -> None:
        """Stop, as at a server that must. The peer hears it while the session's own thread ends."""
        sentence = self._remember("the server was stopped before the scan had ended")
        self._unsaid = sentence and ("stopped", sentence)
        self._give_up()
        self._wire.stop()

    def hang_up(self) -> None:
        """End without a word, where a peer takes none: it sees its connection close."""
        with suppress(OSError):  # it has gone already
            self._wire.socket.shutdown(socket.SHUT_RDWR)

    def _guard(self, work: Callable[[], None]) -> None:
        """Do the work of one thread; what stops it stops the scan, with one sentence."""
        try:
            work()
            return
        except PipelineError as error:
            self._fail("request", str(error))
        except TimeoutError:
            self._fail("peer", f"the peer was silent for {self._patience.peer:g} s")
        except OSError as error:
            self._fail("peer", str(error))
        except Exception as error:
            log.exception("a session failed")
            self._fail("internal", f"internal error, {type(error).__name__}: {error}")
        self._give_up()

    def _give_up(self) -> None:
        """Stop computing: there is nobody to compute for."""
        self._is_given_up = True
        self._backlog.drop()
        if self._relay is not None:
            self._relay.abandon()

    def _serve(self) -> None:
        request, header = self._start()
        if header is None:
            return
        self._announce(Opened(self._scan_id, header, self._pipeline, self._peer))
        self._reader.start()
        if self._refusal is not None:
            self._fail("busy", self._refusal)
        elif request is not None:
            self._reconstruct(request, header)

    def _start(self) -> tuple[Request | None, str | None]:
        """Read configuration and header; without a header there is no scan, only a question."""
        by = self._within(self._patience.start, "configuration and header took")
        config = self._read_control(by)
        if config.id == Id.CLOSE:
            return None, None
        if config.id not in (Id.CONFIG_FILE, Id.CONFIG_TEXT):
            raise WireError(f"message {config.id} came before any configuration")
        request = None
        self._voice.dialect = Dialect(looks_like_parent(config), self._voice.dialect.nul)
        try:
            request = Request(config)
            self._takes_images = self._voice.dialect.is_parent or request.takes_images
            self._pipeline = request.name or "sent as text"
        except PipelineError as error:
            self._fail("request", str(error))
        while (header := self._read_control(by)).id == Id.TEXT:
            self._warn(Id.TEXT, "a text came before the header; nothing is taken from it")
        if header.id == Id.CLOSE:
            return request, None
        if header.id != Id.HEADER:
            raise WireError(f"message {header.id} came, a header (3) was expected")
        return request, text_of(header)

    def _read_control(self, by: Deadline = AT_ANY_TIME) -> Message:
        """Read on to what is not a query; queries are answered in every state."""
        while True:
            message = self._wire.read(by)
            self._is_heard_out = message.id == Id.CLOSE
            self._voice.dialect = self._voice.dialect.heard(message)
            if message.id != Id.QUERY:
                return message
            correlation, answer = bytes(message.parts[0][8:16]), self._answer(text_of(message)).encode()
            self._voice.send(Message(Id.RESPONSE, (correlation, len(answer).to_bytes(8, "little"), answer)))

    def _reconstruct(self, request: Request, header: str) -> None:
        """Wait for data, which parameters may precede, then give the scan to a worker."""
        first = self._backlog.get()
        while first is not None and first.id == Id.TEXT:
            self._warn(Id.TEXT, request.override(text_of(first)))
            self._pipeline = request.name or self._pipeline
            first = self._backlog.get()
        config, is_parent = request.xml(), self._voice.dialect.is_parent
        worker = self._pool.take(self._patience.worker)
        if worker is None:
            self._fail("busy", f"no worker came free within {self._patience.worker:g} s; {self._pool.size} are busy")
            return
        try:
            self._voice.remark("INFO", f"scan {self._scan_id}: {self._pipeline}")
            self._relay = Relay(worker, self._backlog, self._delivery, seconds=self._patience.computation,
                                give_back=is_parent)  # fmt: skip
            if self._is_given_up:  # while we waited for the worker
                self._relay.abandon()
            problem = self._relay.run(self._scan_id, config, header, first)
        finally:
            self._pool.give_back(worker)
        verdict = self._delivery.verdict
        if problem is None and (verdict.n_incomplete if is_parent else verdict.n_images == 0):
            problem = verdict.flaw  # a parent hears of missing lines in no other way
        if problem is not None:
            self._fail("reconstruction", problem)

    def _begin(self, facts: Facts) -> None:
        self._most_lines, dialect = facts.most_lines, self._voice.dialect
        if facts.feedback and (problem := dialect.no_feedback):
            self._fail("request", problem)
        self._announce(Began(self._scan_id, self._peer, dialect.name, self._pipeline, self._coils, facts))

    def _read_peer(self) -> None:
        """Read to the peer's CLOSE, and announce what comes."""
        structlog.contextvars.bind_contextvars(scan=self._scan_id)
        end, line = self._within(self._patience.scan, "the scan took"), self._next_line()
        while (message := self._read_control(min(end, line))).id != Id.CLOSE:
            self._announce(Arrived(self._scan_id, message))
            if message.id in (Id.ACQUISITION, Id.RECON_DATA):
                self._delivery.last_line = time.monotonic()
            if message.id == Id.ACQUISITION:
                self._count_line()
                self._coils = self._coils or decode_line(message).active_channels
            if message.id in UNEXPECTED:
                self._fail("peer", f"{UNEXPECTED[message.id]} came in the middle of the scan")
                self._give_up()
            if message.id in (Id.IMAGE, Id.IMAGE_ARRAY) and not self._takes_images:
                self._warn(Id.IMAGE, "an image came from the client and is ignored: the pipeline begins with lines")
            else:
                self._backlog.put(message)
            if message.id in LINES:
                line = self._next_line()
        self._announce(Arrived(self._scan_id, message))
        self._backlog.end()

    def _count_line(self) -> None:
        self._delivery.verdict.n_lines += 1
        if self._most_lines is not None and self._delivery.verdict.n_lines > self._most_lines:
            raise WireError(f"more than {self._most_lines:,} lines came, far more than the header announces")

    def _next_line(self) -> Deadline:
        return self._within(self._patience.line, "the next line took")

    def _within(self, seconds: float, what: str) -> Deadline:
        return Deadline(time.monotonic() + seconds, f"{what} longer than {seconds:g} s")

    def _warn(self, number: Id, sentence: str | None) -> None:
        """Say what is passed over, once for each kind of message, to the client and the log."""
        if sentence is not None and number not in self._warned:
            self._warned.add(number)
            log.warning("%s", sentence)
            self._voice.remark("WARNING", sentence)

    def _fail(self, kind: str, sentence: str) -> None:
        """Remember the first thing that went wrong. A client hears it at once, Gadgetron after its CLOSE."""
        if (first := self._remember(sentence)) is not None:
            self._say(kind, first)

    def _remember(self, sentence: str) -> str | None:
        """Return the sentence as it will be said, if it is the first."""
        with self._failing:
            if self._problem is not None:
                return None
            self._problem = " ".join(sentence.split())[:LONGEST_SENTENCE]
            return self._problem

    def _say(self, kind: str, sentence: str) -> None:
        self._announce(Failed(self._scan_id, kind, sentence))
        self._voice.remark("ERROR", sentence)
