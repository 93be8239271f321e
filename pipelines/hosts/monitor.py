"""What an operator asks a server: metrics, readiness, health."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, make_wsgi_app

from pipelines.hosts.events import Arrived, Ended, Event, Failed, ImageSent
from pipelines.hosts.side_by_side import side_by_side
from pipelines.protocol.framing import Id

LATENCY_SECONDS = (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)


class Monitor:
    """Counts what happens to scans; answers over HTTP at /metrics, /ready and /health."""

    def __init__(self, state: Callable[[], dict[str, Any]]) -> None:
        self._state = state
        self.registry = CollectorRegistry()
        counter = lambda name, text, labels=(): Counter(f"kband_{name}", text, labels, registry=self.registry)  # noqa: E731
        self._scans = counter("scans", "Scans that ended", ("pipeline",))
        self._lines = counter("lines", "Lines received")
        self._images = counter("images", "Images sent")
        self._flawed = counter("flawed_images", "Images incomplete or made by a fallback")
        self._failures = counter("failures", "Scans that failed, by what failed", ("kind",))
        self._failed = counter("failed_scans", "Scans that ended with a problem", ("pipeline",))
        self._latency = Histogram("kband_last_line_to_image_seconds", "Time from the last line to the last image",
                                  ("pipeline",), buckets=LATENCY_SECONDS, registry=self.registry)  # fmt: skip
        for name, text in (
            ("scans_running", "Connections being served"),
            ("queue_bytes", "Bytes that wait for a worker"),
            ("scans_waiting", "Scans that wait for a worker"),
            ("workers_idle", "Warm workers without a scan"),
            ("scans_not_kept", "Scans of which nothing or not all was written to the disk"),
            ("keeping_problem", "1 if the last scan was not kept whole, else 0; /ready says why"),
        ):
            gauge = Gauge(f"kband_{name}", text, registry=self.registry)
            gauge.set_function(lambda name=name: self._number(name))

    def __call__(self, event: Event) -> None:
        """Take into account what a session announces."""
        match event:
            case Arrived():
                self._lines.inc(event.message.id == Id.ACQUISITION)
            case ImageSent():
                self._images.inc()
                self._flawed.inc(event.is_flawed)
            case Failed():
                self._failures.labels(event.kind).inc()
            case Ended():
                if event.pipeline:
                    self._scans.labels(event.pipeline).inc()
                    self._failed.labels(event.pipeline).inc(event.problem is not None)
                if event.verdict.latency is not None:
                    self._latency.labels(event.pipeline).observe(event.verdict.latency)

    def _number(self, name: str) -> float:
        value = self._state()[name]
        return value if isinstance(value, int) else float(value is not None)

    def answer(self, question: str) -> str:
        """Answer a query that came over the MRD port: the server's state as JSON, whatever was asked."""
        return json.dumps({"question": question, **self._state()})

    def serve(self, address: str, port: int) -> Any:
        """Answer HTTP in a thread until `.shutdown()` of the returned server."""
        server = side_by_side(address, port, self._application)
        threading.Thread(target=server.serve_forever, daemon=True, name="monitor").start()
        return server

    def _application(self, environment: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path, state = environment.get("PATH_INFO", "/"), self._state()
        if path == "/metrics":
            return make_wsgi_app(self.registry)(environment, start_response)
        if path not in ("/ready", "/health"):
            start_response("404 Not Found", [("Content-Type", "text/plain")])
            return [b"metrics, ready and health are here\n"]
        is_well = path == "/health" or state["ready"]
        start_response("200 OK" if is_well else "503 Service Unavailable", [("Content-Type", "application/json")])
        return [json.dumps(state).encode() + b"\n"]
