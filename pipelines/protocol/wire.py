"""MRD messages on a socket: whole messages in and out."""

from __future__ import annotations

import math
import socket
import threading
import time

import numpy as np

from pipelines.protocol.framing import CLOSE, ID_BYTES, USUAL, Bounds, Buffer, Gone, Message, Source
from pipelines.protocol.layouts import read_message

SMALL = 4096  # bytes
QUIET_SECONDS = 2.0  # behind what looks like a CLOSE
SILENT_SECONDS = 10.0  # behind anything else
CLOSE_BYTES = b"".join(CLOSE.pieces())


class Wire:
    """A connected socket that reads and writes whole messages. Reading belongs to one thread; anyone may send."""

    def __init__(self, connection: socket.socket, bounds: Bounds = USUAL) -> None:
        self.socket = connection
        self._source = Source(self.take, bounds)
        self._sending = threading.Lock()

    def read(self) -> Message:
        """Read the next message.

        Raises `Gone` if the peer vanishes, with what was being read and how much of it came; `WireError` if the message
        is unknown, too long, or compressed. `TimeoutError` comes from the socket's own timeout.
        """
        return read_message(self._source)

    def send(self, *messages: Message) -> None:
        """Send messages, back to back. Raises as `read` does; `BlockingIOError` is the system's own timeout."""
        pieces = [piece for message in messages for piece in message.pieces()]
        pieces = [b"".join(pieces)] if sum(map(len, pieces)) < 1 << 16 else pieces
        try:
            with self._sending:
                for piece in pieces:
                    self.socket.sendall(piece)
        except (TimeoutError, BlockingIOError):
            raise
        except OSError as error:
            raise Gone(f"peer closed while a message was sent ({error.strerror or error})") from error

    def drain(self, seconds: float = math.inf) -> None:
        """Read on to the end of a stream that makes no sense any more, for at most so many seconds.

        It has ended when the peer hangs up, or says nothing more behind what looks like its CLOSE.
        """
        end, last = time.monotonic() + seconds, b""
        while (left := end - time.monotonic()) > 0:
            self.socket.settimeout(min(left, QUIET_SECONDS if last == CLOSE_BYTES else SILENT_SECONDS))
            try:
                piece = self.socket.recv(1 << 16)
            except OSError:  # it says nothing more, or is gone
                return
            if not piece:
                return
            last = (last + piece)[-ID_BYTES:]

    def close(self) -> None:
        """Close the socket."""
        self.socket.close()

    def take(self, n_bytes: int, what: str) -> Buffer:
        """Read exactly `n_bytes`, which must have been bounded. Raises `Gone` if the peer closes before."""
        n_read = 0
        try:
            if 0 < n_bytes <= SMALL:  # mostly numbers and headers, which come in one piece
                piece = self.socket.recv(n_bytes, socket.MSG_WAITALL)
                n_read = len(piece)
                if n_read == n_bytes:
                    return piece
            buffer = memoryview(np.empty(n_bytes, np.uint8))
            if n_read:
                buffer[:n_read] = piece
            while n_read < n_bytes and (got := self.socket.recv_into(buffer[n_read:], 0, socket.MSG_WAITALL)):
                n_read += got
        except TimeoutError:
            raise
        except OSError:
            buffer = b""  # a peer that dies with our bytes unread resets the connection; a network may break
        if len(buffer) != n_bytes or n_read < n_bytes:
            raise Gone(f"peer closed while {what} was read: {n_read:,} of {n_bytes:,} bytes")
        return buffer
