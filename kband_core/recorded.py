"""What a GPU has computed once, recorded as a CUDA graph: asked again for the same shapes, it is told all in one go.

An image is hundreds of small kernels, and to begin one takes the CPU five times as long as the GPU takes to compute it.
Only what is sure to come again is recorded, ahead of the scan's last line; a recording keeps the memory of its
intermediate results.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from threading import Lock

import torch
from torch import Tensor

ALIKE = 1e-3  # of the largest value: what a recording may differ by
MOST = 8  # recordings, of which the one not replayed for longest goes

Compute = Callable[..., Tensor]


@dataclass(frozen=True)
class _Recording:
    graph: torch.cuda.CUDAGraph
    inputs: tuple[Tensor, ...]
    result: Tensor


_known: OrderedDict[Hashable, _Recording | None] = OrderedDict()  # None: of what cannot be recorded
_n_lost = 0
_lock = Lock()  # inputs and result of a recording are one place in memory for all threads


def record(what: Hashable, compute: Compute, *inputs: Tensor) -> str | None:
    """Record what `compute` makes of inputs of these shapes on a GPU, unless it is recorded.

    `what` names the computation, whatever the inputs hold. `compute` makes one tensor of them, and waits for nothing.
    What cannot be recorded is computed as ever; why it cannot is returned, once.
    """
    global _n_lost
    key = _key(what, inputs)
    with _lock:
        if key in _known:
            return None
        try:
            _known[key], problem = _recording(compute, inputs), None
        except RuntimeError as error:
            _known[key], problem = None, str(error)
        if len(_known) > MOST:
            _known.popitem(last=False)
            _n_lost += 1
        return problem


def computed(what: Hashable, compute: Compute, *inputs: Tensor) -> Tensor:
    """Return `compute(*inputs)`, by its recording if there is one and nobody wants derivatives."""
    key = _key(what, inputs)
    with _lock:
        known = None if any(given.requires_grad for given in inputs) else _known.get(key)
        if known is not None:
            _known.move_to_end(key)
            for mine, given in zip(known.inputs, inputs, strict=True):
                mine.copy_(given)
            with torch.cuda.device(inputs[0].device):
                known.graph.replay()
            return known.result.clone()
    return compute(*inputs)


def forget() -> None:
    """Give back the memory of all recordings."""
    global _n_lost
    with _lock:
        _n_lost += len(_known)
        _known.clear()


def n_lost() -> int:
    """Return how many recordings are gone by now: as long as it stays the same, what was recorded once still is."""
    return _n_lost


@torch.no_grad()
def _recording(compute: Compute, inputs: tuple[Tensor, ...]) -> _Recording:
    """Record, and try it out: a recording that gives another result would be a wrong image, and nobody would know."""
    mine = tuple(given.clone(memory_format=torch.contiguous_format) for given in inputs)
    with torch.cuda.device(mine[0].device):  # which is what a graph records
        wanted = compute(*mine)  # libraries choose their kernels at the first time, which cannot be recorded
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):  # other threads may use the GPU meanwhile
            result = compute(*mine)
        result.zero_()
        graph.replay()
    if not (result - wanted).abs().max() <= ALIKE * wanted.abs().max():
        raise RuntimeError("what was recorded gives another result")
    return _Recording(graph, mine, result)


def _key(what: Hashable, inputs: tuple[Tensor, ...]) -> Hashable:
    stream = torch.cuda.current_stream(inputs[0].device)  # recordings of one are replayed in turn
    return what, stream, tuple((given.device, given.dtype, given.shape) for given in inputs)
