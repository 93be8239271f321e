"""Who is at the other end, and what may be said to it."""

from __future__ import annotations

import logging
import socket
import struct
import threading
import time
from dataclasses import dataclass, replace

from pipelines.protocol.messages import text_message
from pipelines.protocol.wire import CLOSE, Id, Message, Wire

log = logging.getLogger(__name__)

LINGER_SECONDS = 2.0
DATA = (Id.ACQUISITION, Id.WAVEFORM, Id.IMAGE, Id.IMAGE_ARRAY, Id.RECON_DATA)


class PeerGone(ConnectionError):
    """The peer does not take what it is sent."""


@dataclass(frozen=True)
class Dialect:
    """A peer's habits.

    `is_parent`: Gadgetron, of whose `<external>` node we are the module. It takes no text, breaks on an ERROR that
    comes before its own CLOSE, and wants what we do not use back. Clients know no ERROR: they are told by a text.
    `nul`: a FIRE client, which ends texts, but not image attributes, with a NUL.
    """

    is_parent: bool = False
    nul: bool = False

    def heard(self, message: Message) -> Dialect:
        """Learn from a text message how the peer ends its texts."""
        is_text = message.id in (Id.CONFIG_TEXT, Id.HEADER, Id.TEXT)
        return replace(self, nul=True) if is_text and bytes(message.parts[-1][-1:]) == b"\0" else self

    def takes(self, number: int) -> bool:
        """Whether the peer reads messages of this number; others break it."""
        return number in DATA if self.is_parent else number == Id.IMAGE

    def remark(self, level: str, sentence: str) -> Message | None:
        """Make a text, its level padded to the eight characters that FIRE expects; a parent may hear none."""
        return None if self.is_parent else text_message(Id.TEXT, f"{level:<8}{sentence}", nul=self.nul)

    def image(self, message: Message) -> Message:
        """End the attributes of an image as the peer expects."""
        head, _, attributes, pixels = message.parts
        text = bytes(attributes).rstrip(b"\0") + b"\0" * (not self.nul)
        head = bytes(head[:-4]) + struct.pack("<I", len(text))  # the header repeats the length
        return Message(Id.IMAGE, (head, struct.pack("<Q", len(text)), text, pixels))


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
        message = self.dialect.remark(level, sentence)
        if message is None:
            return
        try:
            self.send(message)
        except PeerGone as error:
            log.info("not said: %s", error)

    def close(self, problem: str | None, *, is_heard_out: bool) -> None:
        """Say the last words: to a parent the problem, to all CLOSE. `is_heard_out`: the peer's CLOSE has been read."""
        try:
            if problem is not None and self.dialect.is_parent:
                if not is_heard_out:
                    self._drain()
                self.send(text_message(Id.ERROR, problem))
            self.send(CLOSE)
            self._linger()
        except OSError as error:
            log.info("no last words: %s", error)
        finally:
            self._wire.close()

    def _drain(self) -> None:
        """Wait for a parent's end of a stream that cannot be read: an ERROR before it would break the parent."""
        self._wire.socket.settimeout(LINGER_SECONDS)
        try:
            while self._wire.socket.recv(1 << 16):
                pass
        except TimeoutError:
            return  # it says nothing more

    def _linger(self) -> None:
        """Let the peer read our CLOSE: a socket that is closed with unread data resets the connection."""
        connection = self._wire.socket
        connection.shutdown(socket.SHUT_WR)
        connection.settimeout(LINGER_SECONDS)
        end = time.monotonic() + LINGER_SECONDS
        while time.monotonic() < end and connection.recv(1 << 16):
            pass
