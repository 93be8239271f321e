"""Messages that wait for a worker, bounded in the memory they take: past that the reader waits, then the peer."""

from __future__ import annotations

import threading
from collections import deque

from pipelines.protocol.framing import Message

OBJECT_BYTES = 1024  # what Python needs for a message beside its bytes, at most; an empty text has 6 of these


class Backlog:
    """A queue between the thread that reads the peer and the one that feeds the worker. `n_bytes`: memory in use."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._messages: deque[Message] = deque()
        self._changed = threading.Condition()
        self._ended = self._dropped = False
        self.n_bytes = 0

    def put(self, message: Message) -> None:
        """Add a message; wait while the backlog is full. After `drop` it goes nowhere, at once."""
        with self._changed:
            self._changed.wait_for(lambda: self._dropped or self.n_bytes < self._most_bytes)
            if not self._dropped:
                self._messages.append(message)
                self.n_bytes += message.size + OBJECT_BYTES
                self._changed.notify_all()

    def get(self) -> Message | None:
        """Take the oldest message, waiting for one; None when the scan has ended, or was dropped."""
        with self._changed:
            self._changed.wait_for(lambda: self._messages or self._ended or self._dropped)
            if not self._messages:
                return None
            message = self._messages.popleft()
            self.n_bytes -= message.size + OBJECT_BYTES
            self._changed.notify_all()
            return message

    def end(self) -> None:
        """Say that nothing more comes."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def drop(self) -> None:
        """Throw away what waits and what will come: nobody computes any more."""
        with self._changed:
            self._dropped = True
            self._messages.clear()
            self.n_bytes = 0
            self._changed.notify_all()
