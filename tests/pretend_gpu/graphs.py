"""CUDA graphs for machines without CUDA: what is recorded is computed again, into the same memory, when replayed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_map

recording: list[tuple[Any, tuple, dict, Any]] | None = None  # operations, their arguments, and what they made


class Graph:
    """Operations on the pretended GPU. Numbers that the host took part in stay what they were."""

    def __init__(self) -> None:
        self.operations: list[tuple[Any, tuple, dict, Any]] = []
        self.n_replays = 0

    def replay(self) -> None:
        self.n_replays += 1
        for func, args, kwargs, made in self.operations:
            args, kwargs = tree_map(_held, (args, kwargs))
            again = func(*args, **kwargs)
            for old, new in zip(tree_flatten(made)[0], tree_flatten(again)[0], strict=True):
                if isinstance(old, Tensor) and _held(old).data_ptr() != new.data_ptr():
                    _held(old).copy_(new)


@contextmanager
def recorded(graph: Graph, capture_error_mode: str = "global") -> Iterator[None]:
    """Record what is computed inside; whatever lets the host wait raises there."""
    global recording
    recording = graph.operations
    try:
        yield
    finally:
        recording = None


def _held(value: Any) -> Any:
    return getattr(value, "held", value)
