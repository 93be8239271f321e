"""Decisions of active acquisition as JSON datagrams: for sequences that read no MRD.

They go to the one address that the server's operator has named on the command line. Nothing in a scan, and no client,
can name another: a server that sends where a client says could be made to speak to whatever it can reach.
"""

from __future__ import annotations

import json
import logging
import socket

from gadgets.active.feedback import Feedback
from pipelines.hosts.events import Event, Told

log = logging.getLogger(__name__)


class Decisions:
    """A subscriber that sends each decision once, and waits for nobody: who misses one goes on in an order of its own.

    Raises `OSError` if there is no such host.
    """

    def __init__(self, host: str, port: int) -> None:
        family, kind, protocol, _, self._address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        self._socket = socket.socket(family, kind, protocol)
        self._socket.setblocking(False)

    def __call__(self, event: Event) -> None:
        """Send what is told, if it is a decision: scan, readouts, lines and scores; nothing of the patient."""
        if not isinstance(event, Told) or event.aside.waveform is None:
            return
        told = Feedback.read(event.aside.waveform)
        if told is None:
            return
        try:
            self._socket.sendto(json.dumps({"scan": event.scan_id, **told.facts()}).encode(), self._address)
        except OSError as error:
            log.warning("a decision was not sent: %s", error)
