"""What happens to a scan, told to whoever watches a server: log, metrics, archive."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias, runtime_checkable

from gadgets.items import Aside
from gadgets.receiving.announced_lines import announced_lines
from gadgets.scan import Scan
from pipelines.chain.pipeline import Pipeline
from pipelines.chain.verdict import Seconds, Verdict
from pipelines.protocol.framing import Message

log = logging.getLogger(__name__)

TIMES_ANNOUNCED, SPARE_LINES = 10, 100_000  # of lines: navigators and noise come on top of those of the header's images


@dataclass(frozen=True)
class Facts:
    """What may be told of a scan before its end: its images' matrix (x, y, z), its acceleration, the trained model, how
    many lines its header announces, if it does, and whether the scanner is to hear which line comes next.
    """

    matrix: tuple[int, int, int]
    acceleration: int
    model: str | None
    n_lines: int | None
    feedback: bool = False

    @property
    def most_lines(self) -> int | None:
        """How many lines may come before somebody is fooling us; None where nothing is announced."""
        return self.n_lines and TIMES_ANNOUNCED * self.n_lines + SPARE_LINES

    @classmethod
    def of(cls, scan: Scan, pipeline: Pipeline) -> Facts:
        """Take them from the first encoding of the header, and from the gadget that has a model, if any."""
        encoding = scan.encodings[0]
        model = next((gadget.model for gadget in pipeline.gadgets if hasattr(gadget, "model")), None)
        feedback = any(getattr(gadget, "feedback", "host") == "scanner" for gadget in pipeline.gadgets)
        return cls(encoding.recon_matrix, encoding.acceleration[0], model, announced_lines(scan), feedback)


@dataclass(frozen=True)
class Spent:
    """Where the time of a scan went: seconds of each gadget."""

    seconds: dict[str, Seconds]


@dataclass(frozen=True)
class Opened:
    """A header has come: from now on there is something to keep."""

    scan_id: str
    header_xml: str
    pipeline: str
    peer: str


@dataclass(frozen=True)
class Arrived:
    """A message of the scan has come, and goes to the worker when all who listen have returned."""

    scan_id: str
    message: Message


@dataclass(frozen=True)
class Began:
    """A worker reconstructs. `coils` are those of the first line; None where buffers come instead."""

    scan_id: str
    peer: str
    dialect: str
    pipeline: str
    coils: int | None
    facts: Facts


@dataclass(frozen=True)
class Told:
    """A gadget has said something aside."""

    scan_id: str
    aside: Aside


@dataclass(frozen=True)
class ImageSent:
    """An image, or an array of images, has gone to the peer; `message` is what it was."""

    scan_id: str
    is_flawed: bool
    message: Message


@dataclass(frozen=True)
class Failed:
    """The first thing that went wrong. `kind`: peer, request, busy, reconstruction, stopped, internal."""

    scan_id: str
    kind: str
    sentence: str


@dataclass(frozen=True)
class Ended:
    """Nothing more will come of the scan. `images`: what each of them says of itself."""

    scan_id: str
    pipeline: str
    problem: str | None
    verdict: Verdict
    images: list[dict[str, Any]] = field(default_factory=list)

    def summary(self) -> dict[str, Any]:
        """The verdict on the scan, for the log and the journal."""
        verdict = self.verdict
        return {
            "scan": self.scan_id, "pipeline": self.pipeline, "lines": verdict.n_lines, "images": verdict.n_images,
            "fallback": verdict.n_fallback, "incomplete": verdict.n_incomplete,
            "problem": self.problem or verdict.flaw, "latency_s": verdict.latency, "image": self.images,
        }  # fmt: skip


Event: TypeAlias = Opened | Arrived | Began | Told | ImageSent | Failed | Ended
Subscriber: TypeAlias = Callable[[Event], object]


@runtime_checkable
class Keeper(Protocol):
    """A subscriber that keeps something of each scan. `problem`: why not of the last one; `n_not_kept`: of how many."""

    problem: str | None
    n_not_kept: int


class Events:
    """Hands what is announced to every subscriber, in the announcing thread; one that fails harms nobody else."""

    def __init__(self, *subscribers: Subscriber) -> None:
        self._subscribers = subscribers

    def announce(self, event: Event) -> None:
        """Tell all of it, in the order in which they subscribed."""
        for subscriber in self._subscribers:
            try:
                subscriber(event)
            except Exception:
                log.exception("whoever watches scans failed at %s", type(event).__name__)
