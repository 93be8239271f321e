"""A client of MRD servers: one thread sends a scan, the caller's receives its images, whatever the server does."""

from __future__ import annotations

import json
import logging
import math
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from gadgets.errors import PipelineError, ScanError
from gadgets.mrd import ismrmrd
from kband_core.plural import counted
from pipelines.chain.verdict import Verdict
from pipelines.hosts.images_due import ImagesDue
from pipelines.protocol.framing import CLOSE, Id, Message
from pipelines.protocol.layouts import CONFIG_NAME_BYTES
from pipelines.protocol.messages import decode_image, decode_waveform, encode_line, text_message, text_of
from pipelines.protocol.wire import Wire

log = logging.getLogger(__name__)

LEVEL = re.compile(r"\s*(DEBUG|DBG|INFO|WARNING|WRN|ERROR|ERR|CRITICAL)\b[\s:]*")
FAILURES = ("ERROR", "ERR", "CRITICAL")
LONGEST_SENTENCE = 400  # characters; a server may send a whole traceback


@dataclass(frozen=True)
class Target:
    """A server and what it is asked for: the pipeline that it knows by `name`, or the one that stands in `xml`.

    A FIRE server wants texts with a NUL, and takes `parameters`, which override properties, as JSON behind the header.
    `patience`: seconds for which it may be silent after the last line, and for which it may take no data before.
    """

    host: str
    port: int
    name: str = ""
    xml: str | bytes | None = None
    dialect: Literal["gadgetron", "fire"] = "gadgetron"
    parameters: Mapping[str, str] = field(default_factory=dict)
    patience: float = 120.0

    def __post_init__(self) -> None:
        if self.parameters and self.dialect != "fire":
            raise PipelineError("parameters are a message of the dialect fire; a Gadgetron server would not read them")
        if len(self.name.encode()) >= CONFIG_NAME_BYTES:
            raise PipelineError(f"pipeline name of {len(self.name.encode())} bytes, at most 1,023 can be sent")

    def start(self, header_xml: str) -> list[Message]:
        """Make the messages that precede the first line."""
        nul = self.dialect == "fire"
        if self.xml is None:
            config = Message(Id.CONFIG_FILE, (self.name.encode().ljust(CONFIG_NAME_BYTES, b"\0"),))
        else:
            config = text_message(Id.CONFIG_TEXT, self.xml, nul=nul)
        messages = [config, text_message(Id.HEADER, header_xml, nul=nul)]
        if self.parameters:
            messages.append(text_message(Id.TEXT, json.dumps({"parameters": dict(self.parameters)}), nul=nul))
        return messages


class Client:
    """One scan with one server. `hear` gets the server's texts, `feedback` its waveforms, in the caller's thread.

    `closed` is set when no more lines are wanted: a source of lines that sleeps should wait for it instead.
    """

    def __init__(
        self, target: Target, hear: Callable[[str], None] = log.info,
        feedback: Callable[[ismrmrd.Waveform], None] | None = None,
    ) -> None:  # fmt: skip
        self.closed = threading.Event()
        self._target, self._hear, self._feedback = target, hear, feedback
        self._problem: str | None = None
        self._unreadable: Exception | None = None  # what reading the lines raised
        self._all_sent = False
        self._due = ImagesDue()
        self._line_at = self._heard_at = time.monotonic()
        self._image_at: float | None = None

    def run(self, header_xml: str, lines: Iterable[ismrmrd.Acquisition], verdict: Verdict) -> Iterator[ismrmrd.Image]:
        """Send the scan and yield its images as they come, keeping `verdict` up to date.

        Raises `ScanError` behind the last image with the first thing that went wrong: no connection, no CLOSE, a text
        that tells of an error, a server that closed before the last line, images that never came. What `lines` raises
        is raised here.
        """
        wire = self._connect()
        start = self._target.start(header_xml)
        sender = threading.Thread(target=self._send, args=(wire, start, lines, verdict), daemon=True, name="sender")
        self._line_at = time.monotonic()
        sender.start()
        try:
            yield from self._receive(wire, verdict)
        finally:
            self.closed.set()
            _hang_up(wire)
            sender.join()
            wire.close()
            if self._image_at is not None:
                verdict.latency = max(self._image_at - self._line_at, 0.0)
        if self._unreadable is not None:
            raise self._unreadable
        if not self._all_sent:
            self._fail(f"the server closed after {counted(verdict.n_lines, 'line')}, before the last was sent")
        elif missing := self._due.missing():
            self._fail(missing)
        if self._problem is not None:
            raise ScanError(self._problem)

    def _connect(self) -> Wire:
        host, port, patience = self._target.host, self._target.port, self._target.patience
        try:
            connection = socket.create_connection((host, port), timeout=patience)
        except (OSError, UnicodeError) as error:  # of a name that cannot be one
            raise ScanError(f"no connection to {host}:{port} ({getattr(error, 'strerror', None) or error})") from error
        connection.settimeout(None)  # Python's would bound a whole message; the system's, the time without progress
        whole, fraction = divmod(patience, 1)
        limit = struct.pack("ll", int(whole), int(fraction * 1e6))
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return Wire(connection)

    def _receive(self, wire: Wire, verdict: Verdict) -> Iterator[ismrmrd.Image]:
        """Yield the images up to the server's CLOSE, or to where it cannot be understood any more."""
        try:
            while (message := wire.read()).id != Id.CLOSE:
                self._heard_at = time.monotonic()
                if message.id != Id.IMAGE:
                    self._note(message)
                elif (image := self._decoded(message)) is not None:
                    verdict.count(image)
                    self._due.add_image(image)
                    self._image_at = self._heard_at
                    self._heard_at = math.inf  # while the caller is at work, the server is not silent
                    yield image
                    self._heard_at = time.monotonic()
        except (OSError, MemoryError) as error:
            self._fail(f"no CLOSE came: {error or 'a message does not fit the memory'}")

    def _decoded(self, message: Message) -> ismrmrd.Image | None:
        try:
            return decode_image(message)
        except (ScanError, ValueError) as error:  # the next message can still be read
            self._fail(f"an image cannot be read: {error}")
            return None

    def _note(self, message: Message) -> None:
        """Hear what is not an image; remember it if it tells of a failure."""
        is_feedback = message.id == Id.WAVEFORM and self._target.dialect == "fire"
        if is_feedback and self._feedback is not None:
            self._feedback(decode_waveform(message))
        if message.id == Id.RESPONSE or is_feedback:
            return
        if message.id not in (Id.TEXT, Id.ERROR):
            self._fail(f"the server sent message {message.id}, which is none for clients")
            return
        text = f"{'ERROR':<8}" * (message.id == Id.ERROR) + _printable(text_of(message))
        self._hear(text)
        level = LEVEL.match(text)
        if level is not None and level[1] in FAILURES:
            self._fail(text[level.end() :])
        elif level is None and self._target.dialect == "gadgetron":
            self._fail(text)  # Gadgetron sends texts only to tell of errors, and without a level

    def _send(self, wire: Wire, start: list[Message], lines: Iterable[ismrmrd.Acquisition], verdict: Verdict) -> None:
        try:
            wire.send(*start)
            for message in self._encoded(wire, lines):
                wire.send(message)
                self._line_at = time.monotonic()
                verdict.n_lines += 1
            wire.send(CLOSE)
        except BlockingIOError:
            self._fail(
                f"the server took no data for {self._target.patience:g} s, after "
                f"{counted(verdict.n_lines, 'line')}"
            )
            _hang_up(wire)
        except OSError as error:
            sent = counted(verdict.n_lines, "line")
            log.info("sending ended after %s: %s", sent, error)  # whoever receives says more
        self._watch(wire, verdict)

    def _encoded(self, wire: Wire, lines: Iterable[ismrmrd.Acquisition]) -> Iterator[Message]:
        """Yield the lines as messages until the server has closed."""
        try:
            for line in lines:
                if self.closed.is_set():
                    return
                self._due.add_line(line)
                yield encode_line(line)
            self._all_sent = True
        except Exception as error:  # noqa: BLE001 - raised in the caller's thread
            self._unreadable = error
            _hang_up(wire)

    def _watch(self, wire: Wire, verdict: Verdict) -> None:
        """After the last line, wait as long as the server says something."""
        since, patience = time.monotonic(), self._target.patience
        while (left := max(since, self._heard_at) + patience - time.monotonic()) > 0:
            if self.closed.wait(min(left, 1.0)):
                return
        self._fail(f"the server was silent for {patience:g} s, after {counted(verdict.n_lines, 'line')}")
        _hang_up(wire)

    def _fail(self, text: str) -> None:
        """Remember the first thing that went wrong, as one sentence."""
        if self._problem is None:
            self._problem = " ".join(text.split())[:LONGEST_SENTENCE] or "the server told of an error without a word"


def _hang_up(wire: Wire) -> None:
    """End the connection both ways; who waits for it, in whatever thread, goes on."""
    try:
        wire.socket.shutdown(socket.SHUT_RDWR)
    except OSError as error:
        log.debug("the connection has ended already: %s", error)


def _printable(text: str) -> str:
    """Keep a server's text from steering the terminal."""
    return "".join(sign if sign.isprintable() or sign in "\n\t" else "\ufffd" for sign in text)
