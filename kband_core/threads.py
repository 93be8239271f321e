"""Keep small work on one thread."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def single_thread() -> Iterator[None]:
    """Run torch's CPU kernels on one thread inside.

    Waking threads costs more than products of a few coils, or decompositions of a few hundred rows, are worth; on a
    busy machine it costs seconds.
    """
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)
