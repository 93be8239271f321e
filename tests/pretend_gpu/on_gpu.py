"""A tensor that says it is on a GPU, and computes on the CPU; what makes the host wait for it is counted."""

from __future__ import annotations

import sys
from collections import Counter
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_iter, tree_map_only

from tests.pretend_gpu import graphs

CUDA = torch.device("cuda", 0)
OURS = ("/kband_core/", "/gadgets/", "/pipelines/", "/tests/gpu/")

WAITS: Counter[str] = Counter()  # "what, file:line" → how often the host waited there

# Operations whose result, or its shape, the host must know before it goes on. A decomposition looks whether it failed.
READ_BACK = {
    "_local_scalar_dense": "value", "equal": "value", "nonzero": "shape", "masked_select": "shape", "bincount": "shape",
    "unique_dim": "shape", "_unique2": "shape", "unique_consecutive": "shape",
    "_linalg_check_errors": "errors", "_linalg_eigh": "errors", "_linalg_svd": "errors", "_linalg_eigvals": "errors",
}  # fmt: skip


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
            wait(f"{name} ({waits_for})")
        held = tree_map_only(OnGpu, lambda tensor: tensor.held, (args, kwargs))
        out = func(*held[0], **held[1])
        made = _written(func, args, kwargs, out) if func._schema.is_mutable else tree_map_only(Tensor, OnGpu, out)
        if graphs.recording is not None:
            graphs.recording.append((func, args, kwargs, made))
        return made

    device = property(lambda self: CUDA)
    is_cuda = property(lambda self: True)
    is_cpu = property(lambda self: False)

    get_device = lambda self: 0  # noqa: E731
    data_ptr = lambda self: self.held.data_ptr()  # noqa: E731

    def tolist(self) -> Any:
        wait("tolist (value)")
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


def wait(what: str) -> None:
    if graphs.recording is not None:
        raise RuntimeError("CUDA error: operation not permitted when stream is capturing")
    frame = sys._getframe(1)
    while frame is not None and not any(part in frame.f_code.co_filename for part in OURS):
        frame = frame.f_back
    where = "elsewhere" if frame is None else "/".join(frame.f_code.co_filename.split("/")[-2:]) + f":{frame.f_lineno}"
    WAITS[f"{where} {what}"] += 1
