"""What vouches for an image costs behind the last line: beside the reconstruction, and the coils' way into it."""

from __future__ import annotations

import functools
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from measure import print_table

from gadgets.coils import coil_whitening, sound_lines
from gadgets.receiving.image_lines import ImageLines
from gadgets.receiving.watched_lines import WatchedLines
from gadgets.recon import combined, completed
from gadgets.recon.verdict import LineVerdict

Spent = tuple[float, float]  # ms, of the CPU and by the clock
CHECKS = (
    ("last lines looked at", WatchedLines, "looked"),
    ("calibration lines of the image", ImageLines, "calibration_lines"),
    ("SoundLines", sound_lines, "_sound"),
    ("CoilWhitening", coil_whitening, "_whitened"),
    ("completion, behind SENSE and networks", completed, "complete"),
    ("combination and completion, by GRAPPA", combined, "combine_completed"),
    ("verdict", LineVerdict, "notes"),
)


class CheckCosts:
    """Time spent in each check since `now` was last called, of all threads."""

    def __init__(self) -> None:
        self._since = float("inf")
        self._spent: dict[str, Spent] = defaultdict(lambda: (0.0, 0.0))
        for name, owner, function in CHECKS:
            setattr(owner, function, self._watched(name, getattr(owner, function)))

    def now(self) -> None:
        """Forget what was spent before: the last line comes."""
        self._since = time.perf_counter()
        self._spent.clear()

    def spent(self) -> dict[str, Spent]:
        """What each check has taken."""
        return dict(self._spent)

    def _watched(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def watched(*args: Any, **kwargs: Any) -> Any:
            begun = time.process_time(), time.perf_counter()
            result = function(*args, **kwargs)
            if begun[1] > self._since:
                ended, before = (time.process_time(), time.perf_counter()), self._spent[name]
                self._spent[name] = tuple(1000 * (e - b) + s for e, b, s in zip(ended, begun, before, strict=True))
            return result

        return watched


def print_checks(results: dict[str, list[dict[str, Spent]]]) -> None:
    """Print a table of what checks took in the runs of each pipeline, medians, and in one row the median of all."""
    rows = []
    for check, _, _ in CHECKS:
        rows.append((check, *(_cell([run[check] for run in runs if check in run]) for runs in results.values())))
    alls = ([tuple(map(sum, zip(*run.values(), strict=True))) for run in runs] for runs in results.values())
    rows.append(("all checks", *map(_cell, alls)))
    print_table(("ms of the CPU (by the clock), paced", *results), rows)


def _cell(spent: list[Spent]) -> str:
    if not spent:
        return "-"
    cpu, clock = (statistics.median(of) for of in zip(*spent, strict=True))
    return f"{cpu:.1f} ({clock:.1f})"
