"""Choose where to compute, and how precisely."""

from __future__ import annotations

import re

import torch
from torch import Tensor

NATIVE = ("avx512_bf16", "amx_bf16", "avx10_2", "bf16", "sve_bf16")  # instructions of Intel's, AMD's and ARM's CPUs
AMPERE = (8, 0)
ON_CPU = 1 << 29  # bytes of planes worked on at once: more make nothing faster there
FREE_SHARE = 1 / 4  # of a GPU's free memory: transforms, and what they are stored in, take as much again


def choose_device(name: str) -> torch.device:
    """Resolve `auto`, `cpu`, `cuda` or `cuda:N`; `auto` is the GPU with the most free memory, else the CPU.

    Raises `ValueError` for other names, and if the named GPU is not there.
    """
    if name == "auto":
        if not torch.cuda.is_available():
            return torch.device("cpu")
        free = [torch.cuda.mem_get_info(index)[0] for index in range(torch.cuda.device_count())]
        return torch.device("cuda", free.index(max(free)))
    if not re.fullmatch(r"cpu|cuda(:\d{1,3})?", name):
        raise ValueError(f"no device '{name}'; auto, cpu, cuda or cuda:N expected")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"no device '{name}': {torch.cuda.device_count()} CUDA devices found")
    return device


def send(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a tensor on `device`; from the CPU to a GPU without waiting for what the GPU still has to do.

    Memory of the CPU is copied before this returns, so it may be written afterwards. Back from a GPU one must wait.
    """
    return tensor.to(device, non_blocking=tensor.device.type == "cpu")


def in_same_memory(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors are the same numbers in the same places of memory: no copy, and no other view of them.

    Known without a look at the numbers, on a GPU at once.
    """
    first, second = (
        (of.device, of.dtype, of.shape, of.squeeze().stride(), of.is_conj(), of.data_ptr()) for of in (one, other)
    )
    return first == second


def planes_at_once(n_bytes: int, device: torch.device) -> int:
    """Count the planes, of `n_bytes` each, that are worked on at once: as free memory of a GPU lets, some on a CPU."""
    most = ON_CPU if device.type == "cpu" else int(FREE_SHARE * torch.cuda.mem_get_info(device)[0])
    return max(most // max(n_bytes, 1), 1)


def computes_bfloat16(device: torch.device) -> bool:
    """Whether `device` has instructions for bfloat16. A torch that cannot tell is taken to have a CPU without."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= AMPERE
    if device.type != "cpu" or not hasattr(torch.cpu, "get_capabilities"):
        return False
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in NATIVE)


def in_bfloat16(device: torch.device, wanted: bool) -> torch.autocast:
    """Let convolutions compute in bfloat16 if that is `wanted` and faster: emulated, it is slower than float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=wanted and computes_bfloat16(device))
