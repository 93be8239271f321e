"""How long a session waits, and for what."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.protocol.punctuality import Pace


@dataclass(frozen=True)
class Patience:
    """Seconds a session waits: for the peer's next byte, for a free worker, for a worker that should compute.

    `start`: for configuration and header together; `message` and `bytes_per_s`: for a message, as in `Pace`; `scan`:
    for all of a scan, however it goes on: overnight scans of specimens are the longest.
    """

    peer: float = 600.0
    worker: float = 300.0
    computation: float = 120.0
    start: float = 30.0
    scan: float = 86400.0
    message: float = Pace.message
    bytes_per_s: float = Pace.bytes_per_s

    @property
    def line(self) -> float:
        """For the next line, among texts, queries and waveforms; a peer that says nothing is told so before."""
        return self.peer + self.message

    @property
    def pace(self) -> Pace:
        """What the peer must keep to."""
        return Pace(self.peer, self.message, self.bytes_per_s)
