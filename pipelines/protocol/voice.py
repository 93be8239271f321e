"""Speaking to a peer: each message in its dialect, and the last words so that they are heard."""

from __future__ import annotations

import logging
import socket
import threading
import time

from gadgets.items import Aside
from pipelines.protocol.dialect import Dialect
from pipelines.protocol.framing import CLOSE, Id, Message
from pipelines.protocol.messages import text_message
from pipelines.protocol.wire import Wire

log = logging.getLogger(__name__)

LINGER_SECONDS = 2.0
DRAIN_SECONDS = 60.0  # of a stream that cannot be read


class PeerGone(ConnectionError):
    """The peer does not take what it is sent."""


class Voice:
    """Speaks to the peer in its dialect; after a message that was cut short not at all: more would pass for pixels."""

    def __init__(self, wire: Wire) -> None:
        self.dialect = Dialect()
        self._wire = wire
        self._lock = threading.Lock()
        self._is_cut = False

    def send(self, message: Message) -> None:
        """Send a message as the peer expects it. Raises `PeerGone` if the peer does not take it, or the one before."""
        with self._lock:
            if self._is_cut:
                raise PeerGone("the peer has gone")
            try:
                self._wire.send(self.dialect.image(message) if message.id == Id.IMAGE else message)
            except OSError as error:
                self._is_cut = True
                patience = self._wire.socket.gettimeout() or 0
                is_late = isinstance(error, TimeoutError)
                raise PeerGone(
                    f"the peer did not take a message within {patience:g} s" if is_late else
                    f"the {error}"
                ) from error  # fmt: skip

    def remark(self, level: str, sentence: str) -> None:
        """Tell a client something; a parent hears nothing, and neither does a peer that has gone."""
        if (message := self.dialect.remark(level, sentence)) is not None:
            self._say(message)

    def aside(self, aside: Aside) -> None:
        """Tell the peer what a gadget says aside, if it is one that may hear it."""
        self._say(*self.dialect.aside(aside))

    def _say(self, *messages: Message) -> None:
        try:
            for message in messages:
                self.send(message)
        except PeerGone as error:
            log.info("not said: %s", error)

    def close(self, problem: str | None, *, is_heard_out: bool) -> None:
        """Say the last words: to a parent the problem, to all CLOSE. `is_heard_out`: the peer's CLOSE has been read."""
        try:
            if problem is not None and self.dialect.is_parent:
                if not is_heard_out:
                    self._wire.drain(DRAIN_SECONDS)  # an ERROR before its CLOSE would break the parent
                self.send(text_message(Id.ERROR, problem))
            self.send(CLOSE)
            self._linger()
        except OSError as error:
            log.info("no last words: %s", error)
        finally:
            self._wire.close()

    def _linger(self) -> None:
        """Let the peer read our CLOSE: a socket that is closed with unread data resets the connection."""
        connection = self._wire.socket
        connection.shutdown(socket.SHUT_WR)
        connection.settimeout(LINGER_SECONDS)
        end = time.monotonic() + LINGER_SECONDS
        while time.monotonic() < end and connection.recv(1 << 16):
            pass
