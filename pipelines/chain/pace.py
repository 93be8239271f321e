"""Lines at the times at which the scanner acquired them."""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable, Iterable, Iterator

from gadgets.mrd import ismrmrd
from gadgets.scan import Scan

log = logging.getLogger(__name__)

TICK_MS = 2.5  # what acquisition time stamps count
LONGEST_STEP_MS = 10_000.0  # a pause to breathe is kept, one to adjust the scanner is not
MOST_PER_TICK = 64  # lines; with more of one stamp the clock stands still


def paced(
    lines: Iterable[ismrmrd.Acquisition],
    tr_ms: float | None,
    *,
    sleep: Callable[[float], object] = time.sleep,
    now: Callable[[], float] = time.monotonic,
) -> Iterator[ismrmrd.Acquisition]:
    """Yield each line when it is due, the first at once; see `due_times`.

    A line that is late, because reading or its taker was slow, does not make later ones late.
    """
    start = now()
    for line, due_ms in due_times(lines, tr_ms):
        wait = start + due_ms / 1000 - now()
        if wait > 0:
            sleep(wait)
        yield line


def due_times(lines: Iterable[ismrmrd.Acquisition], tr_ms: float | None) -> Iterator[tuple[ismrmrd.Acquisition, float]]:
    """Yield lines, and when each is due after the first, in ms.

    Lines that share a tick of the clock are spread evenly over it. Where the clock stands still, goes back, or jumps by
    more than 10 s, the step is one TR instead, or none if TR is unknown; the first such step is told by a warning.
    """
    due_ms, before, is_told = 0.0, None, False
    for number, tick in _ticks(lines):
        stamp = tick[0].acquisition_time_stamp
        step_ms = 0.0 if before is None else TICK_MS * (stamp - before)
        if before is not None and not 0 < step_ms <= LONGEST_STEP_MS:
            step_ms = tr_ms or 0.0
            if not is_told:
                log.warning("line %d: time stamp %d after %d is no time to wait; here and at all such lines %s",
                            number, stamp, before, f"one TR of {tr_ms:g} ms is taken" if tr_ms else
                            "nothing is waited for, TR is unknown")  # fmt: skip
                is_told = True
        due_ms += step_ms
        before = stamp
        for n, line in enumerate(tick):
            yield line, due_ms + n * TICK_MS / len(tick)


def repetition_ms(scan: Scan) -> float | None:
    """Return the header's TR; None if it has none, or one that is no time from line to line."""
    sequence = scan.header.sequenceParameters
    tr_ms = sequence.TR[0] if sequence is not None and sequence.TR else 0.0
    return float(tr_ms) if 0 < tr_ms <= LONGEST_STEP_MS else None


def _ticks(lines: Iterable[ismrmrd.Acquisition]) -> Iterator[tuple[int, list[ismrmrd.Acquisition]]]:
    """Group the lines of one tick; where the clock stands still, each line is alone. With each, its first's number."""
    number = before = 0
    for stamp, same in itertools.groupby(lines, key=lambda line: line.acquisition_time_stamp):
        while tick := list(itertools.islice(same, MOST_PER_TICK)):
            stands_still = stamp in (0, before) or len(tick) == MOST_PER_TICK
            for group in [[line] for line in tick] if stands_still else [tick]:
                yield number, group
                number += len(group)
            before = stamp
