"""Run a pipeline over a scan: read ahead in a thread, time every gadget, judge the result."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, TypeVar

import ismrmrd

from gadgets.items import ReconBuffer
from gadgets.scan import Scan
from pipelines.chain.pipeline import Pipeline
from pipelines.chain.time_limit import within
from pipelines.chain.turns import Computing, DeviceLock, Lock, Waiting

READ_AHEAD = 256  # lines of a file, while gadgets compute

Item = TypeVar("Item")
_END = object()


def pump(source: Iterable[Item], capacity: int) -> Iterator[Item]:
    """Read `source` in a thread, at most `capacity` items ahead.

    Order is kept and nothing dropped; the source's exception reaches the consumer behind the items before it; the
    thread stops at its next item when the consumer stops. A source that can block for ever must be closed first.
    """
    items: queue.Queue[Any] = queue.Queue(capacity)
    stopped = threading.Event()

    def read() -> None:
        try:
            for item in source:
                if not _put(items, (item, None), stopped):
                    return
            _put(items, (_END, None), stopped)
        except BaseException as error:  # noqa: BLE001 - handed to the consumer, whoever must know
            _put(items, (_END, error), stopped)

    thread = threading.Thread(target=read, daemon=True, name="pump")
    thread.start()
    try:
        while True:
            item, error = items.get()
            if error is not None:
                raise error
            if item is _END:
                return
            yield item
    finally:
        stopped.set()


def _put(items: queue.Queue[Any], item: Any, stopped: threading.Event) -> bool:
    while not stopped.is_set():
        try:
            items.put(item, timeout=0.1)
            return True
        except queue.Full:
            continue
    return False


@dataclass
class Verdict:
    """What came of a scan: lines in, images out, what is wrong with them, seconds from last line to last image."""

    n_lines: int = 0
    n_images: int = 0
    n_fallback: int = 0
    n_incomplete: int = 0
    first_problem: str | None = None
    latency: float | None = None
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def flaw(self) -> str | None:
        """One sentence on what is wrong with the images, or None."""
        wrong = {"made by a fallback": self.n_fallback, "incomplete": self.n_incomplete}
        flaws = [f"{n} of {self.n_images} images {what}" for what, n in wrong.items() if n]
        if self.n_images == 0:
            return f"0 images came of {self.n_lines} lines"
        return f"{', '.join(flaws)} ({self.first_problem})" if flaws else None

    def count(self, image: ismrmrd.Image) -> bool:
        """Take an image into account by its meta attributes; whether it is incomplete or made by a fallback."""
        meta = ismrmrd.Meta.deserialize(image.attribute_string) if image.attribute_string else {}
        self.n_images += 1
        is_fallback, is_incomplete = meta.get("kband_fallback", "no") != "no", meta.get("kband_complete") == "no"
        self.n_fallback += is_fallback
        self.n_incomplete += is_incomplete
        if is_fallback or is_incomplete:
            self.first_problem = self.first_problem or meta.get("ImageComments")
        return is_fallback or is_incomplete


def run(
    pipeline: Pipeline, scan: Scan, lines: Iterable[ismrmrd.Acquisition], verdict: Verdict, *,
    still_waiting: Callable[[], object] | None = None,
) -> Iterator[Any]:  # fmt: skip
    """Open the pipeline and yield what comes out of it, keeping `verdict` up to date.

    On a GPU, buffers are computed in turn with other scans; `still_waiting` is called now and then by one that waits.
    Raises what the gadgets raise; what came out before is the caller's already.
    """
    for gadget in pipeline.gadgets:
        gadget.limit = within
    pipeline.open(scan)
    device = next((gadget.computes_on for gadget in pipeline.gadgets if gadget.computes_on), None)
    is_shared = device is not None and device.type == "cuda"
    with DeviceLock(device, still_waiting=still_waiting) if is_shared else nullcontext() as lock:
        yield from _run(pipeline, lines, verdict, lock)


def _run(
    pipeline: Pipeline, lines: Iterable[ismrmrd.Acquisition], verdict: Verdict, lock: Lock | None
) -> Iterator[Any]:
    last_line = time.perf_counter()

    def counted() -> Iterator[ismrmrd.Acquisition]:
        nonlocal last_line
        for line in lines:
            verdict.n_lines += 1
            last_line = time.perf_counter()
            yield line

    stream: Iterator[Any] = counted()
    clocks = [_Clock(stream)]
    for gadget in pipeline.gadgets:
        if lock and ReconBuffer in gadget.accepts:
            clocks.append(_Clock(Computing(gadget.process(Waiting(clocks[-1], lock)), lock)))
        else:
            clocks.append(_Clock(gadget.process(clocks[-1])))
    try:
        for item in clocks[-1]:
            if isinstance(item, ismrmrd.Image):
                verdict.count(item)
            verdict.latency = time.perf_counter() - last_line
            yield item
    finally:
        names = ["reading", *(gadget.label() for gadget in pipeline.gadgets)]
        before = 0.0
        for name, clock in zip(names, clocks, strict=True):
            verdict.seconds[name] = clock.seconds - before
            before = clock.seconds


class _Clock:
    """An iterator that adds up the time its source takes, everything before it included."""

    def __init__(self, source: Iterable[Any]) -> None:
        self._source = iter(source)
        self.seconds = 0.0

    def __iter__(self) -> _Clock:
        return self

    def __next__(self) -> Any:
        start = time.perf_counter()
        try:
            return next(self._source)
        finally:
            self.seconds += time.perf_counter() - start
