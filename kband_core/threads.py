"""Which threads compute: small work on one, the parts of a large one side by side."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from itertools import pairwise
from typing import TypeVar

import torch

THREAD = "side by side"  # begins the name of threads that wait for parts to compute
Part = TypeVar("Part")
Result = TypeVar("Result")

_around: ContextVar[int] = ContextVar("threads around single_thread")


@contextmanager
def single_thread() -> Iterator[None]:
    """Run torch's CPU kernels on one thread inside.

    Waking threads costs more than products of a few coils, or decompositions of a few hundred rows, are worth; on a
    busy machine it costs seconds.
    """
    n_threads = torch.get_num_threads()
    told = _around.set(usable_threads())
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)
        _around.reset(told)


def usable_threads() -> int:
    """How many threads parts may be computed on side by side: those that torch has, or had outside `single_thread`."""
    return _around.get(torch.get_num_threads())


def count_parts(data: torch.Tensor, n_threads: int, in_cache: int) -> int:
    """Into how many parts to cut `data`: as many for each thread, none of more than `in_cache` bytes; a GPU takes all
    at once."""
    if data.device.type != "cpu":
        return 1
    return n_threads * math.ceil(data.numel() * data.element_size() / (n_threads * in_cache))


def side_by_side(compute: Callable[[Part], Result], parts: Sequence[Part], n_threads: int) -> list[Result]:
    """Return `compute` of each part, on as many threads, each of which computes alone; not recorded for derivatives.

    Torch's own threads sleep and wake in every product, which takes longer than a small one does.
    """
    n_threads = min(n_threads, len(parts))
    ends = [number * len(parts) // n_threads for number in range(n_threads + 1)]
    first, *others = (parts[begin:end] for begin, end in pairwise(ends))
    elsewhere = [_threads(os.getpid()).submit(_each, compute, share) for share in others]
    with single_thread():
        here = _each(compute, first)
    return here + [result for share in elsewhere for result in share.result()]


@torch.no_grad()
def _each(compute: Callable[[Part], Result], parts: Sequence[Part]) -> list[Result]:
    return [compute(part) for part in parts]


@lru_cache(maxsize=1)
def _threads(pid: int) -> ThreadPoolExecutor:
    """Threads of this process: those of the one that it was forked from are not here."""
    return ThreadPoolExecutor(thread_name_prefix=THREAD, initializer=_compute_alone)


def _compute_alone() -> None:
    """Give this thread no others, whatever others set later: torch takes their number at a thread's first use."""
    torch.get_num_threads()  # is that use
    torch.set_num_threads(1)
