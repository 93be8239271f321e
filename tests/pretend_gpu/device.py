"""A CUDA device for machines without one: tensors compute on the CPU, but say `cuda:0`, and behave as if they were.

Mixing them with tensors of the CPU raises, as on a real GPU, in a forward and in a backward pass, in every thread. What
makes the host wait for the device is counted, by the line of ours that asked for it. Nothing here tells of speed, and
single precision is exactly that of the CPU: pixels must be equal.

Not here: backward passes in batches (`is_grads_batched`), within which torch makes tensors of the CPU of its own, so no
exact pixels of a widely linear g-factor map; and bfloat16, since the card is of an age without.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import wraps
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from tests.pretend_gpu import graphs
from tests.pretend_gpu.on_gpu import CUDA, WAITS, OnGpu, wait

FREE = 80 << 30  # bytes

# Factories that are told a device.
FACTORIES = (
    "arange", "as_tensor", "empty", "eye", "full", "full_like", "hann_window", "linspace", "ones", "ones_like", "rand",
    "randint", "randn", "randperm", "tensor", "tril_indices", "zeros", "zeros_like",
)  # fmt: skip
COMPOSED = ("quantile",)  # of operations and constants that torch takes for the CPU's


def _is_cuda(device: Any) -> bool:
    return isinstance(device, (str, torch.device)) and torch.device(device).type == "cuda"


def _made_there(make: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A factory that makes tensors of the GPU where it is told to."""

    @wraps(make)
    def factory(*args: Any, device: Any = None, **kwargs: Any) -> Tensor:
        if not _is_cuda(device):
            return make(*args, **kwargs) if device is None else make(*args, device=device, **kwargs)
        data = next((one for one in args if isinstance(one, Tensor)), None)
        if isinstance(data, OnGpu):
            return make(*args, **kwargs)
        if make.__name__ in ("tensor", "as_tensor"):
            wait(f"{make.__name__} (copy)")
        return OnGpu(make(*args, device="cpu", **kwargs))

    return factory


def _as_one(compute: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """An operation that is looked at as a whole; not for derivatives."""

    @wraps(compute)
    def composed(tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if isinstance(tensor, OnGpu):
            return OnGpu(compute(tensor.held, *args, **kwargs))
        return compute(tensor, *args, **kwargs)

    return composed


_to = Tensor.to


def _moved(tensor: Tensor, *args: Any, device: Any = None, dtype: Any = None, non_blocking: bool = False,
           **kwargs: Any) -> Tensor:  # fmt: skip
    """`Tensor.to`, also to the GPU and from it."""
    for told in args:
        if isinstance(told, Tensor):
            device, dtype = told.device, told.dtype
        elif isinstance(told, torch.dtype):
            dtype = told
        elif isinstance(told, bool):
            non_blocking = told
        elif told is not None:
            device = told
    from_gpu = isinstance(tensor, OnGpu)
    to_gpu = from_gpu if device is None else _is_cuda(device)
    if from_gpu and not to_gpu:
        wait("to the CPU (value)")
        return _to(_Fetched.apply(tensor), dtype or tensor.dtype, **kwargs)
    moved = _to(tensor, dtype or tensor.dtype, **kwargs)
    if to_gpu and not from_gpu:
        if not non_blocking:
            wait("to the GPU (copy)")
        return _Sent.apply(moved) if moved.requires_grad and torch.is_grad_enabled() else OnGpu(moved.detach())
    return moved


class _Fetched(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: OnGpu) -> Tensor:
        return tensor.held.detach().clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> OnGpu:
        return OnGpu(gradient)


class _Sent(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        return OnGpu(tensor.detach())

    @staticmethod
    def backward(ctx: Any, gradient: OnGpu) -> Tensor:
        return gradient.held


@contextmanager
def pretend_gpu() -> Iterator[Counter[str]]:
    """Let torch have one GPU, of an age without bfloat16; yields where the host waits for it, so far nowhere."""
    card = {
        "is_available": lambda: True, "device_count": lambda: 1, "mem_get_info": lambda *_: (FREE, FREE),
        "get_device_capability": lambda *_: (7, 0), "synchronize": lambda *_: None, "empty_cache": lambda: None,
        "current_device": lambda: 0, "get_device_name": lambda *_: "pretended", "set_sync_debug_mode": lambda *_: None,
        "reset_peak_memory_stats": lambda *_: None, "max_memory_allocated": lambda *_: 0,
        "current_stream": lambda *_: "the only one", "device": nullcontext, "CUDAGraph": graphs.Graph,
        "graph": graphs.recorded,
    }  # fmt: skip
    methods = {
        "to": _moved,
        "cuda": lambda tensor, *_, **__: _moved(tensor, CUDA),
        "cpu": lambda tensor, *_, **__: _moved(tensor, "cpu"),
        **{name: _as_one(getattr(Tensor, name)) for name in COMPOSED},
    }
    WAITS.clear()
    with (
        mock.patch.multiple(torch.cuda, **card),
        mock.patch.multiple(torch, **{name: _made_there(getattr(torch, name)) for name in FACTORIES}),
        mock.patch.multiple(torch, **{name: _as_one(getattr(torch, name)) for name in COMPOSED}),
        mock.patch.multiple(Tensor, **methods),
    ):
        overwrites = torch.__future__.get_overwrite_module_params_on_conversion()
        torch.__future__.set_overwrite_module_params_on_conversion(True)  # none of the CPU can become one there
        try:
            yield WAITS
        finally:
            torch.__future__.set_overwrite_module_params_on_conversion(overwrites)
