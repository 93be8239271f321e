"""Choose where to compute."""

from __future__ import annotations

import torch


def choose_device(name: str) -> torch.device:
    """Resolve `auto`, `cpu`, `cuda` or `cuda:N`; `auto` is the GPU with the most free memory, else the CPU.

    Raises `ValueError` if the named GPU is not there.
    """
    if name == "auto":
        if not torch.cuda.is_available():
            return torch.device("cpu")
        free = [torch.cuda.mem_get_info(index)[0] for index in range(torch.cuda.device_count())]
        return torch.device("cuda", free.index(max(free)))
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"no device '{name}': {torch.cuda.device_count()} CUDA devices found")
    return device
