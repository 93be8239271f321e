"""Several processes that train one network: who we are, and sums over all. torchrun starts them."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn

from kband_core.device import choose_device


@dataclass(frozen=True)
class Processes:
    """This process' number, the number of all, and the device it computes on."""

    rank: int
    n_ranks: int
    device: torch.device

    def sum(self, values: Tensor) -> Tensor:
        """Add up `values` over all processes. Raises `ValueError` if one of them is gone."""
        if self.n_ranks > 1:
            try:
                dist.all_reduce(values)
            except RuntimeError as error:
                raise ValueError(
                    f"process {self.rank} of {self.n_ranks}: another process of this training ended, or cannot be "
                    "reached; go on with --resume"
                ) from error
        return values

    def average_gradients(self, network: nn.Module, *others: Tensor) -> tuple[Tensor, ...]:
        """Replace gradients by their mean over all processes, and return the means of some other numbers.

        One message: gradients of a network are small beside the work of a step, so nothing is won by sending early, as
        `DistributedDataParallel` does; which also refuses networks, as a site's own may be, that leave a part unused.
        """
        if self.n_ranks == 1:
            return others
        gradients = [p.grad for p in network.parameters() if p.grad is not None]
        parts = [*gradients, *others]
        mean = self.sum(torch.cat([part.detach().flatten() for part in parts])) / self.n_ranks
        split = mean.split([part.numel() for part in parts])
        pieces = [piece.view_as(part) for piece, part in zip(split, parts, strict=True)]
        for gradient, piece in zip(gradients, pieces, strict=False):
            gradient.copy_(piece)
        return tuple(pieces[len(gradients) :])


@contextmanager
def processes(device: str) -> Iterator[Processes]:
    """Join the other processes if torchrun started us; without it there is one. Raises `ValueError`."""
    n_ranks = int(os.environ.get("WORLD_SIZE", "1"))
    if n_ranks == 1:
        yield Processes(0, 1, choose_device(device))
        return
    own = torch.device("cpu")
    if device != "cpu" and torch.cuda.is_available():
        own = choose_device(f"cuda:{os.environ['LOCAL_RANK']}")
        torch.cuda.set_device(own)
    dist.init_process_group("nccl" if own.type == "cuda" else "gloo")
    try:
        yield Processes(dist.get_rank(), n_ranks, own)
        dist.barrier()  # who leaves while others still speak makes them abort
    finally:
        dist.destroy_process_group()
        gc.collect()  # its threads must end before the interpreter, which else aborts now and then
