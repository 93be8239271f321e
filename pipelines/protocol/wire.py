"""MRD messages on a socket: whole messages in and out."""

from __future__ import annotations

import math
import socket
import threading
import time

import numpy as np

from pipelines.protocol.framing import CLOSE, ID_BYTES, USUAL, Bounds, Buffer, Gone, Message, Source, WireError
from pipelines.protocol.layouts import read_message
from pipelines.protocol.punctuality import AT_ANY_TIME, Deadline, Pace, Punctuality

SMALL = 4096  # bytes
QUIET_SECONDS = 2.0  # behind what looks like a CLOSE
SILENT_SECONDS = 10.0  # behind anything else
CLOSE_BYTES = b"".join(CLOSE.pieces())


class Wire:
    """A connected socket that reads and writes whole messages. Reading belongs to one thread; anyone may send.

    With a `pace` the peer must keep to it, and `stop` ends the reading.
    """

    def __init__(self, connection: socket.socket, bounds: Bounds = USUAL, *, pace: Pace | None = None) -> None:
        self.socket = connection
        self._punctuality = pace and Punctuality(connection, pace)
        self._source = Source(self.take, bounds)
        self._sending = threading.Lock()

    def read(self, by: Deadline = AT_ANY_TIME) -> Message:
        """Read the next message; `by` holds where there is a pace.

        Raises `Gone` if the peer vanishes, with what was being read and how much of it came; `WireError` if the message
        is unknown, too long, compressed, or comes too slowly. `TimeoutError` tells of silence.
        """
        if self._punctuality is not None:
            self._punctuality.begin(by)
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

    def stop(self) -> None:
        """End the reading, in whatever thread that is, within moments; sending goes on."""
        self._punctuality.stop()

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
        n_read, watch = 0, self._punctuality
        try:
            if watch is not None:
                watch.expect(n_bytes)
            if 0 < n_bytes <= SMALL:  # mostly numbers and headers, which come in one piece
                if watch is not None:
                    watch.wait(what, 0, n_bytes)
                piece = self.socket.recv(n_bytes, socket.MSG_WAITALL)
                n_read = len(piece)
                if n_read == n_bytes:
                    return piece
            buffer = memoryview(np.empty(n_bytes, np.uint8))
            if n_read:
                buffer[:n_read] = piece
            while n_read < n_bytes:
                if watch is not None:
                    watch.wait(what, n_read, n_bytes)
                if not (got := self.socket.recv_into(buffer[n_read:], 0, socket.MSG_WAITALL)):
                    break
                n_read += got
        except (TimeoutError, WireError):
            raise
        except OSError:
            buffer = b""  # a peer that dies with our bytes unread resets the connection; a network may break
        if len(buffer) != n_bytes or n_read < n_bytes:
            raise Gone(f"peer closed while {what} was read: {n_read:,} of {n_bytes:,} bytes")
        return buffer
