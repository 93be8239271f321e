"""HTTP answers side by side: whoever asks slowly holds up nobody, and not for long."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

MOST_QUESTIONS = 16  # at once; then the oldest makes room
ANSWER_SECONDS = 10.0  # from the first byte of a question to the last of its answer


def side_by_side(address: str, port: int, application: Callable[..., Iterable[bytes]]) -> WSGIServer:
    """Listen for questions that `application` answers, each in a thread of its own once `serve_forever` runs."""
    return make_server(address, port, application, server_class=_SideBySide, handler_class=_Quiet)


class _SideBySide(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def __init__(self, *arguments: Any) -> None:
        self._open: dict[socket.socket, threading.Timer] = {}  # the oldest first
        self._lock = threading.Lock()
        super().__init__(*arguments)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread, for a limited time."""
        timer = threading.Timer(ANSWER_SECONDS, _end, (request,))
        timer.daemon = True
        with self._lock:
            if len(self._open) >= MOST_QUESTIONS:
                oldest = next(iter(self._open))
                self._open.pop(oldest).cancel()
                _end(oldest)
            self._open[request] = timer
        timer.start()
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Close what has been answered, or ended."""
        with self._lock:
            timer = self._open.pop(request, None)
        if timer is not None:
            timer.cancel()
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of askers that went away."""


def _end(request: socket.socket) -> None:
    with suppress(OSError):  # it has gone already
        request.shutdown(socket.SHUT_RDWR)


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Say nothing: probes come every few seconds."""
