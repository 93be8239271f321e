"""A reconstruction that needs more memory than there is: smaller pieces, then the CPU."""

from __future__ import annotations

import logging
from collections.abc import Callable

import torch
from torch import Tensor

from gadgets.errors import ScanError
from kband_core.recorded import forget
from kband_core.sampling import Grid

log = logging.getLogger(__name__)

SAYINGS = ("out of memory", "can't allocate memory", "alloc_failed")  # CUDA, the CPU, CUDA's libraries


def within_memory(
    who: str, reconstruct: Callable[..., Tensor],
    kspace: Tensor, sampling: Grid, csm: Tensor, noise: Tensor, *others: Tensor,
) -> Tensor:  # fmt: skip
    """Return `reconstruct(kspace, sampling, csm, noise, *others)`, `(z, ...)`: on a GPU all planes at once, else one by
    one, which on the CPU is no slower. Where a GPU's memory does not suffice, plane by plane there, then on the CPU,
    with warnings.

    `kspace` `(z, coil, ky, kx)`, `sampling` that of all planes, `csm` `(z, set, coil, y, x)`, `noise` `(z,)`; `others`
    have the axis z as well. Raises `ScanError` if memory suffices nowhere.
    """
    here = kspace.device
    for how, device, n_planes in _ways(here, len(kspace)):
        parts = zip(*(tensor.split(n_planes) for tensor in (kspace, csm, noise, *others)), strict=True)
        try:
            there = sampling.to(device)
            return torch.cat([
                reconstruct(k.to(device), there, *(part.to(device) for part in rest)).to(here) for k, *rest in parts
            ])  # fmt: skip
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            log.warning("%s: not enough memory %s: %s", who, how, error)
        forget()
        torch.cuda.empty_cache()  # behind the except block, where nothing holds the tensors of the attempt any more
    raise ScanError("out of memory")


def _ways(here: torch.device, n_planes: int) -> list[tuple[str, torch.device, int]]:
    """How to go about it, where, and how many planes at a time."""
    cpu = ("plane by plane on the CPU", torch.device("cpu"), 1)
    return [cpu] if here.type == "cpu" else [("at once", here, n_planes), ("plane by plane", here, 1), cpu]


def is_out_of_memory(error: Exception) -> bool:
    """Whether memory was missing; torch says so by the words of a `RuntimeError`."""
    return isinstance(error, MemoryError) or any(saying in str(error).lower() for saying in SAYINGS)
