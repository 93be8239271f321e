"""Scans at the servers of a site: a simulation of queueing, and the closed form that it must agree with."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, inf

import numpy as np


@dataclass(frozen=True)
class ScanType:
    """Scans of one kind: how many an hour, how long they take, and what reconstruction leaves to do behind them.

    A scan holds its worker while it is acquired (s), and for `reconstruction` seconds behind its last line; `spread`
    is the standard deviation of the latter over its mean, 1 for an exponential one, 0 for a constant.
    """

    name: str
    lines: int
    per_hour: float
    acquisition: float
    reconstruction: float
    spread: float = 0.0


@dataclass(frozen=True)
class Served:
    """What became of every scan: its type, how long it waited for a worker, and from its last line to its image, s.

    Both are infinite where it was refused.
    """

    kind: np.ndarray
    waited: np.ndarray
    latency: np.ndarray

    @property
    def is_served(self) -> np.ndarray:
        """Which scans were not refused."""
        return np.isfinite(self.latency)


def simulate(
    types: Sequence[ScanType], n_workers: int, hours: float, rng: np.random.Generator, *,
    connections: int | None = None, patience: float = inf, scheduled: bool = False,
) -> Served:  # fmt: skip
    """Let scans come for `hours`, each to the worker that is free first.

    They come independently of one another (Poisson), or `scheduled`, evenly with 20 % of jitter. A scan that finds no
    worker waits with its lines, up to `patience` seconds; beyond `connections` scans, running or waiting, it is
    refused. A scan that waited has its lines at hand when its worker comes: it holds that until its last line has
    come, and no shorter than reconstruction takes.
    """
    kind, arrival = _arrivals(types, hours, rng, scheduled)
    free = [0.0] * n_workers  # when each worker is, the earliest first
    leaving: list[float] = []  # when scans that are there leave
    waited, latency = np.full((2, kind.size), inf)
    for n, (which, came) in enumerate(zip(kind, arrival, strict=True)):
        while leaving and leaving[0] <= came:
            heapq.heappop(leaving)
        if connections is not None and len(leaving) >= connections:
            continue
        start = max(came, free[0])
        if start - came > patience:
            heapq.heappush(leaving, came + patience)
            continue
        scan = types[which]
        last_line = came + scan.acquisition
        end = max(last_line, start) + _drawn(scan.reconstruction, scan.spread, rng)
        heapq.heapreplace(free, end)
        heapq.heappush(leaving, end)
        waited[n], latency[n] = start - came, end - last_line
    return Served(kind, waited, latency)


def _arrivals(
    types: Sequence[ScanType], hours: float, rng: np.random.Generator, scheduled: bool
) -> tuple[np.ndarray, np.ndarray]:
    kinds, times = [], []
    for number, scan in enumerate(types):
        gap = 3600 / scan.per_hour
        n_scans = round(hours * scan.per_hour) if scheduled else rng.poisson(hours * scan.per_hour)
        even = (np.arange(n_scans) + rng.random() + 0.2 * rng.standard_normal(n_scans)) * gap
        times.append(even if scheduled else rng.random(n_scans) * hours * 3600)
        kinds.append(np.full(n_scans, number))
    time = np.concatenate(times)
    order = np.argsort(time)
    return np.concatenate(kinds)[order], time[order]


def _drawn(mean: float, spread: float, rng: np.random.Generator) -> float:
    """A duration of that mean, gamma distributed: constant without spread, exponential with a spread of 1."""
    return float(rng.gamma(1 / spread**2, mean * spread**2)) if spread else mean


def erlang_c(n_servers: int, load: float) -> float:
    """The share of arrivals that must wait, in M/M/c with an offered load in Erlang below the number of servers.

    A. K. Erlang, 1917; by the recursion of Erlang B.
    """
    if load >= n_servers:
        return 1.0
    blocked = 1.0
    for n in range(1, n_servers + 1):
        blocked = load * blocked / (n + load * blocked)
    return blocked / (1 - load / n_servers * (1 - blocked))


def waits_longer(seconds: float, n_servers: int, load: float, service: float) -> float:
    """The share of arrivals that wait longer than so many seconds, in M/M/c: C·exp(−(c − a)·t/s)."""
    return erlang_c(n_servers, load) * exp(-(n_servers - load) * seconds / service)
