"""What stands in for archive and journal at a server that keeps nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipelines.protocol.framing import Message


class Unkept:
    """Archive and journal in one that let everything go."""

    problem: str | None = None

    def begin(self, scan_id: str, header_xml: str) -> Unkept:
        """Start the journal of a scan, which keeps nothing."""
        return self

    def append(self, message: Message) -> None:
        """Let a message go."""

    def end(self, verdict: Mapping[str, Any]) -> None:
        """Let the verdict go; the log has it."""

    def close(self, timeout: float | None = None) -> None:
        """Nothing waits to be written."""
