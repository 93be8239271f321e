"""Adam, with a pace of its own for the few numbers that a whole network goes by."""

from __future__ import annotations

import torch
from torch import nn

FUSED = ("cpu", "cuda")  # devices on which Adam is one kernel: a fourth of the time on a CPU


def adam(network: nn.Module, rate: float, pace: float = 1.0) -> torch.optim.Adam:
    """Return Adam (Kingma and Ba 2015) over all parameters; those in the network's `quick` learn `pace` times as fast.

    Adam moves a parameter by about the learning rate a step, whatever its gradient: a kernel is soon where it should
    be, the logarithm of a weight of data consistency may have thousands of steps to go.
    """
    named = dict(network.named_parameters())
    quick = [named.pop(name) for name in getattr(network, "quick", ())]
    groups = [{"params": list(named.values()), "pace": 1.0}, {"params": quick, "pace": pace}]
    fused = next(network.parameters()).device.type in FUSED
    return torch.optim.Adam([group for group in groups if group["params"]], rate, fused=fused)


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Let the next step be at a learning rate."""
    for group in optimiser.param_groups:
        group["lr"] = rate * group["pace"]
