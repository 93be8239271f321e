"""What the page tells of one scan, from its header to its end; nothing of the patient."""

from __future__ import annotations

from typing import Any

from gadgets.errors import PipelineError
from gadgets.scan import Scan
from pipelines.hosts.anonymise import anonymised
from pipelines.hosts.events import Arrived, Began, Ended, Event, Failed, ImageSent, Opened, Told
from pipelines.page.line_tally import LineTally

MOST_REMARKS = 20  # of what gadgets say aside
LONGEST = 200  # characters of a name


class Story:
    """One scan as its events tell it, and as `lines` counts. `is_over`: nothing more will come."""

    def __init__(self, scan_id: str) -> None:
        self.is_over = False
        self.lines = LineTally(None)
        self._told: dict[str, Any] = {"scan": scan_id, "images": 0, "flawed": 0, "remarks": [], "problem": None}
        self._at: dict[str, float] = {}

    @property
    def is_worth_telling(self) -> bool:
        """Whether there was a scan, or something went wrong; not so of a mere question."""
        return "header" in self._at or "failed" in self._told

    def take(self, moment: float, event: Event) -> None:
        """Enter what has happened at `moment`, in seconds since 1970."""
        match event:
            case Opened():
                self._at["header"] = moment
                protocol = protocol_name(event.header_xml)
                self._told |= {"peer": event.peer, "pipeline": event.pipeline, "protocol": protocol}
            case Arrived():
                self._at["all lines"] = moment
            case Began():
                self._at["worker"] = moment
                facts = event.facts
                self._told |= {
                    "peer": event.peer, "dialect": event.dialect, "pipeline": event.pipeline, "coils": event.coils,
                    "matrix": facts.matrix, "acceleration": facts.acceleration, "model": facts.model,
                }  # fmt: skip
            case Told() if event.aside.waveform is None:  # decisions are many, and for the scanner
                remark = f"{event.aside.level}: {event.aside.sentence}"
                self._told["remarks"] = [*self._told["remarks"], remark][-MOST_REMARKS:]
            case ImageSent():
                self._at.setdefault("first image", moment)
                self._at["last image"] = moment
                self._told["images"] += 1
                self._told["flawed"] += event.is_flawed
            case Failed():
                self._told |= {"failed": event.kind, "problem": event.sentence}
            case Ended():
                self._end(moment, event)

    def report(self) -> dict[str, Any]:
        """Return it as JSON takes it, a value of its own; `at` holds moments in seconds since 1970."""
        lines, at = self.lines, dict(self._at)
        if lines.first_at is not None:
            at |= {"first line": lines.first_at, "last line": lines.last_at}
        counted = {"lines": lines.received, "lines_on_grid": lines.on_grid, "lines_announced": lines.announced}
        return {**self._told, **counted, "stage": self._stage(), "at": at}

    def _end(self, moment: float, event: Ended) -> None:
        self.is_over = True
        self._at["end"] = moment
        verdict = event.verdict
        self._told |= {
            "pipeline": event.pipeline, "images": verdict.n_images, "latency": verdict.latency,
            "fallback": verdict.n_fallback, "incomplete": verdict.n_incomplete,
            "gadgets": {name: both.after_last_line for name, both in verdict.seconds.items()},
            "problem": event.problem or verdict.flaw,
        }  # fmt: skip

    def _stage(self) -> str:
        if self.is_over:
            return "ended"
        if "all lines" in self._at:
            return "all lines are in"
        return "waits for a worker or its first line" if "worker" not in self._at else "lines come in"


def protocol_name(header_xml: str) -> str | None:
    """Return the protocol's name without what tells who was measured; None if the header has none."""
    try:
        measurement = Scan.from_xml(anonymised(header_xml.rstrip("\0"))).header.measurementInformation
    except PipelineError:
        return None
    name = measurement.protocolName if measurement else None
    return str(name)[:LONGEST] if name else None
