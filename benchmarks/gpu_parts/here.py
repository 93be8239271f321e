"""Where is measured, and how thoroughly."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from gpu_parts.row import Row

PATIENCE = 3.0  # s, for which one thing is timed
MOST = 50  # times

Make = Callable[[torch.device], Callable[[], object]]


@dataclass(frozen=True)
class Here:
    """A device. With `small` all sizes are tiny, everything runs once or twice, and no aim is asked for."""

    device: torch.device
    small: bool = False

    @property
    def is_gpu(self) -> bool:
        return self.device.type == "cuda"

    def timed(self, what: str, make: Make, *, aim: float | None = None, beside_cpu: bool = True) -> Row:
        """Time what `make` gives for a device: the median in ms, each time waiting for the GPU; once on the CPU, too.
        """
        compute, megabytes, cpu = make(self.device), None, None
        if self.is_gpu:
            torch.cuda.reset_peak_memory_stats()
        first = milliseconds(compute, self.device)
        times = self._repeated(compute)
        if self.is_gpu:
            megabytes = torch.cuda.max_memory_allocated() / 1e6
        if self.is_gpu and beside_cpu:
            there = make(torch.device("cpu"))
            there()
            cpu = milliseconds(there, torch.device("cpu"))
        note = f"median of {len(times)}, least {min(times):.3g}, first {first:.0f} ms"
        return Row(what, statistics.median(times), aim=self.asked(aim), cpu=cpu, megabytes=megabytes, note=note)

    def asked(self, aim: float | None) -> float | None:
        """The aim, if sizes are those that it is of."""
        return None if self.small else aim

    def _repeated(self, compute: Callable[[], object]) -> list[float]:
        started, times = time.perf_counter(), []
        while not times or (not self.small and len(times) < MOST and time.perf_counter() - started < PATIENCE):
            times.append(milliseconds(compute, self.device))
        return times


def milliseconds(compute: Callable[[], object], device: torch.device) -> float:
    """Time one call, until the GPU has done all that was asked of it."""
    _wait_for(device)
    started = time.perf_counter()
    compute()
    _wait_for(device)
    return 1e3 * (time.perf_counter() - started)


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
