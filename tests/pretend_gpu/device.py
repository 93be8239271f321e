"""A CUDA device for machines without one: tensors compute on the CPU, but say `cuda:0`, and behave as if they were.

Mixing them with tensors of the CPU raises, as on a real GPU, in a forward and in a backward pass, in every thread. What
makes the host wait for the device is counted, by the line of ours that asked for it. Nothing here tells of speed, and
single precision is exactly that of the CPU: pixels must be equal.

Not here: backward passes in batches (`is_grads_batched`), within which torch makes tensors of the CPU of its own, so no
exact pixels of a widely linear g-factor map; and bfloat16, since the card is of an age without.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_iter, tree_map_only

CUDA = torch.device("cuda", 0)
OURS = ("/kband_core/", "/gadgets/", "/pipelines/", "/tests/gpu/")
FREE = 80 << 30  # bytes

WAITS: Counter[str] = Counter()  # "what, file:line" → how often the host waited there

# Operations whose result, or its shape, the host must know before it goes on. A decomposition looks whether it failed.
READ_BACK = {
    "_local_scalar_dense": "value", "equal": "value", "nonzero": "shape", "masked_select": "shape", "bincount": "shape",
    "unique_dim": "shape", "_unique2": "shape", "unique_consecutive": "shape",
    "_linalg_check_errors": "errors", "_linalg_eigh": "errors", "_linalg_svd": "errors", "_linalg_eigvals": "errors",
}  # fmt: skip
# Factories that are told a device.
FACTORIES = (
    "arange", "as_tensor", "empty", "eye", "full", "full_like", "hann_window", "linspace", "ones", "ones_like", "rand",
    "randint", "randn", "randperm", "tensor", "tril_indices", "zeros", "zeros_like",
)  # fmt: skip
COMPOSED = ("quantile",)  # of operations and constants that torch takes for the CPU's


class OnGpu(Tensor):
    """A tensor that says it is on the GPU. `held` is the one it computes with."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> OnGpu:
        held = held.resolve_conj().resolve_neg()
        ours = Tensor._make_wrapper_subclass(
            cls, held.size(), strides=held.stride(), storage_offset=held.storage_offset(), dtype=held.dtype,
            layout=held.layout, requires_grad=held.requires_grad,
        )  # fmt: skip
        ours.held = held
        return ours

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__
        _refuse_mixing(name, args, kwargs)
        if waits_for := READ_BACK.get(name) or _index_waits(name, args):
            _wait(f"{name} ({waits_for})")
        held = tree_map_only(OnGpu, lambda tensor: tensor.held, (args, kwargs))
        out = func(*held[0], **held[1])
        if func._schema.is_mutable:
            return _written(func, args, kwargs, out)
        return tree_map_only(Tensor, OnGpu, out)

    device = property(lambda self: CUDA)
    is_cuda = property(lambda self: True)
    is_cpu = property(lambda self: False)

    get_device = lambda self: 0  # noqa: E731
    data_ptr = lambda self: self.held.data_ptr()  # noqa: E731

    def tolist(self) -> Any:
        _wait("tolist (value)")
        return self.held.tolist()

    def numpy(self, **_: Any) -> np.ndarray:
        raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() to copy it first.")

    __array__ = numpy

    def __deepcopy__(self, memo: dict) -> OnGpu:
        copy = OnGpu(self.held.detach().clone()).requires_grad_(self.requires_grad)
        copy._is_param = getattr(self, "_is_param", False)
        return memo.setdefault(id(self), copy)

    def __reduce_ex__(self, protocol: int) -> Any:  # a file holds what a CPU can load
        return self.held.detach().__reduce_ex__(protocol)

    def __repr__(self, **_: Any) -> str:
        return f"OnGpu({self.held!r})"


def _refuse_mixing(name: str, args: tuple, kwargs: dict) -> None:
    """Raise as torch does where tensors of the CPU meet those of the GPU; numbers, indices and copies may."""
    if name in ("copy_", "_to_copy", "set_", "_has_compatible_shallow_copy_type"):
        return
    if name in ("index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index"):
        args = (args[0], *args[2:3])
    for tensor in tree_iter((args, kwargs)):
        if isinstance(tensor, Tensor) and not isinstance(tensor, OnGpu) and tensor.ndim:
            raise RuntimeError(f"Expected all tensors to be on the same device, but found cuda:0 and cpu, in {name}")


def _index_waits(name: str, args: tuple) -> str | None:
    """Whether the host waits for an index: one of truth values has a length that only the device knows."""
    if name not in ("index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index"):
        return None
    indices = [index for index in args[1] if index is not None]
    if any(index.dtype in (torch.bool, torch.uint8) for index in indices):
        return "shape"
    return None if all(isinstance(index, OnGpu) for index in indices) else "copy"


def _written(func: Any, args: tuple, kwargs: dict, out: Any) -> Any:
    """What an operation returns that writes into its arguments: those, as they came."""
    by_name = dict(zip((argument.name for argument in func._schema.arguments), args, strict=False)) | kwargs
    written = [by_name[a.name] for a in func._schema.arguments if a.is_write and a.name in by_name]
    if isinstance(out, tuple):
        return tuple(written) if len(written) == len(out) else tree_map_only(Tensor, OnGpu, out)
    return written[0] if out is not None else None


def _wait(what: str) -> None:
    frame = sys._getframe(1)
    while frame is not None and not any(part in frame.f_code.co_filename for part in OURS):
        frame = frame.f_back
    where = "elsewhere" if frame is None else "/".join(frame.f_code.co_filename.split("/")[-2:]) + f":{frame.f_lineno}"
    WAITS[f"{where} {what}"] += 1


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
            _wait(f"{make.__name__} (copy)")
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
        _wait("to the CPU (value)")
        return _to(_Fetched.apply(tensor), dtype or tensor.dtype, **kwargs)
    moved = _to(tensor, dtype or tensor.dtype, **kwargs)
    if to_gpu and not from_gpu:
        if not non_blocking:
            _wait("to the GPU (copy)")
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
