"""Time rivals side by side, and say on what machine."""

from __future__ import annotations

import datetime
import os
import platform
import statistics
import time
from collections.abc import Callable

import torch


def describe_machine() -> str:
    """One line for the head of every table of numbers."""
    machine = f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads"
    return f"{datetime.date.today().isoformat()}, {machine}, torch {torch.__version__}"


def interleave(contestants: dict[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Run all contestants in turn, `repeats` times after one warm-up: other load on the machine meets all of them.

    Returns seconds of wall time by name.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for repeat in range(repeats + 1):
        for name, run in contestants.items():
            start = time.perf_counter()
            run()
            if repeat:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def print_times(seconds: dict[str, list[float]], reference: str, notes: dict[str, str] | None = None) -> None:
    """Print minimum and median, their ratios to those of `reference`, and a note for each contestant."""
    fastest, middle = min(seconds[reference]), statistics.median(seconds[reference])
    print(f"{'':36}{'min ms':>9}{'median ms':>11}{'min ratio':>11}{'median ratio':>14}")
    for name, times in seconds.items():
        least, median = min(times), statistics.median(times)
        note = (notes or {}).get(name, "")
        print(f"{name:36}{least * 1e3:9.1f}{median * 1e3:11.1f}{least / fastest:11.2f}{median / middle:14.2f}  {note}")
