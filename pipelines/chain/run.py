"""Run a pipeline over a scan: time every gadget, keep the verdict, take turns on a GPU."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from typing import Any

from gadgets.items import Aside, ReconBuffer
from gadgets.mrd import ismrmrd
from gadgets.scan import Scan
from pipelines.chain.account import Account
from pipelines.chain.choice import choose
from pipelines.chain.chosen_pipeline import ChosenPipeline
from pipelines.chain.clock import Clock
from pipelines.chain.pipeline import Pipeline, installed_xml
from pipelines.chain.side_road import Hear, for_the_next, log_aside
from pipelines.chain.time_limit import within
from pipelines.chain.turns import Computing, DeviceLock, Lock, Waiting
from pipelines.chain.verdict import Seconds, Verdict


def run(
    pipeline: Pipeline, scan: Scan, lines: Iterable[ismrmrd.Acquisition], verdict: Verdict, *,
    hear: Hear = log_aside, still_waiting: Callable[[], object] | None = None, account: Account | None = None,
) -> Iterator[Any]:  # fmt: skip
    """Open the pipeline and yield what comes out of it, keeping `verdict` up to date; `hear` gets what is said aside.

    A `ChosenPipeline` gives way to what the first lines choose; its images say what and why. `account`, if there is
    one, sees all that passes. On a GPU, buffers are computed in turn with other scans; `still_waiting` is called now
    and then by one that waits. Raises what the gadgets raise; what came out before is the caller's already.
    """
    choice = None
    if any(isinstance(gadget, ChosenPipeline) for gadget in pipeline.gadgets):
        choice, lines = choose(scan, lines)
        hear(Aside("progress", f"{choice.pipeline} is chosen: {choice.reason}"))
        pipeline = Pipeline.from_xml(installed_xml(choice.pipeline))
    for gadget in pipeline.gadgets:
        gadget.limit = within
    pipeline.open(scan)
    device = next((gadget.computes_on for gadget in pipeline.gadgets if gadget.computes_on), None)
    is_shared = device is not None and device.type == "cuda"
    with DeviceLock(device, still_waiting=still_waiting) if is_shared else nullcontext() as lock:
        for item in _run(pipeline, lines, verdict, hear, lock, account):
            if choice is not None and isinstance(item, ismrmrd.Image):
                item.meta["kband_choice"] = f"{choice.pipeline}: {choice.reason}"
            yield item


def _run(
    pipeline: Pipeline, lines: Iterable[ismrmrd.Acquisition], verdict: Verdict, hear: Hear, lock: Lock | None,
    account: Account | None,
) -> Iterator[Any]:  # fmt: skip
    last_line = time.perf_counter()
    spent_before: list[float] = []  # up to the last line, by clock

    def counted() -> Iterator[ismrmrd.Acquisition]:
        nonlocal last_line
        for line in lines:
            verdict.n_lines += 1
            last_line = time.perf_counter()
            spent_before[:] = [clock.until(last_line) for clock in clocks]
            yield line

    def passed() -> Iterator[Any]:
        """What leaves the gadget that was added last."""
        stream = for_the_next(clocks[-1], hear)
        return account.watched(len(clocks) - 1, stream) if account else stream

    clocks = [Clock(counted())]
    for gadget in pipeline.gadgets:
        stream = passed()
        if lock and ReconBuffer in gadget.accepts:
            clocks.append(Clock(Computing(gadget.process(Waiting(stream, lock)), lock)))
        else:
            clocks.append(Clock(gadget.process(stream)))
    try:
        for item in passed():
            if isinstance(item, ismrmrd.Image):
                verdict.count(item)
            verdict.latency = time.perf_counter() - last_line
            yield item
    finally:
        names = ["reading", *(gadget.label() for gadget in pipeline.gadgets)]
        upstream = Seconds(0.0, 0.0)  # each clock runs while those before it run
        for name, clock, spent in zip(names, clocks, spent_before or [0.0] * len(clocks), strict=True):
            up_to_here = Seconds(clock.seconds - spent, clock.seconds)
            verdict.seconds[name] = Seconds(*(own - before for own, before in zip(up_to_here, upstream, strict=True)))
            upstream = up_to_here
