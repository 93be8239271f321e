"""How long a peer may take to speak: until its next byte, for a message, for all that must be said by some time."""

from __future__ import annotations

import math
import select
import socket
import time
from dataclasses import dataclass
from typing import NamedTuple

from pipelines.protocol.framing import WireError

LOOK_SECONDS = 0.25  # to a reader that is stopped


@dataclass(frozen=True)
class Pace:
    """`silence`: seconds to the next byte. Seconds of a message: `message`, and its bytes over `bytes_per_s`."""

    silence: float = 600.0
    message: float = 60.0
    bytes_per_s: float = 64e3


class Deadline(NamedTuple):
    """What must have come by a time of the monotonic clock, however many messages it is; `sentence` says if not."""

    at: float = math.inf
    sentence: str = ""


AT_ANY_TIME = Deadline()


class TooSlow(WireError):
    """The peer speaks, but so slowly that it would hold its place for ever."""


class Stopped(WireError):
    """The reader was told to read no more."""


class Punctuality:
    """Waits for the bytes of one socket, as long as its peer keeps to the pace. `stop` ends that from any thread."""

    def __init__(self, connection: socket.socket, pace: Pace) -> None:
        self._pace = pace
        self._poll = select.poll()
        self._poll.register(connection, select.POLLIN)
        self._is_stopped = False
        self.begin(AT_ANY_TIME)

    def begin(self, by: Deadline) -> None:
        """Expect a message; its time runs from its first byte."""
        self._by, self._first_byte, self._seconds = by, math.inf, self._pace.message

    def expect(self, n_bytes: int) -> None:
        """Grant the time that so many bytes of the message take."""
        self._seconds += n_bytes / self._pace.bytes_per_s

    def stop(self) -> None:
        """Let who waits, and who will, wait no more."""
        self._is_stopped = True

    def wait(self, what: str, n_read: int, n_bytes: int) -> None:
        """Wait until something can be read. Raises `TooSlow`, `Stopped`, and `TimeoutError` for a silent peer."""
        began = time.monotonic()
        now = began
        while not self._is_stopped:
            left = min(began + self._pace.silence, self._first_byte + self._seconds, self._by.at) - now
            if left <= 0:
                self._complain(now, what, f"{n_read:,} of {n_bytes:,} bytes")
            if self._poll.poll(1000 * min(left, LOOK_SECONDS)):
                self._first_byte = min(self._first_byte, time.monotonic())
                return
            now = time.monotonic()
        raise Stopped(f"reading was stopped at {what}")

    def _complain(self, now: float, what: str, came: str) -> None:
        if now >= self._by.at:
            raise TooSlow(self._by.sentence)
        if now >= self._first_byte + self._seconds:
            raise TooSlow(f"{what} took longer than {self._seconds:.3g} s: {came}")
        raise TimeoutError
