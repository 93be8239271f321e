"""The smoothest choice among many: labels on a grid, each with a cost, and what neighbours cost that differ."""

from __future__ import annotations

import torch
from torch import Tensor

SWEEPS = 5


def min_sum(costs: Tensor, between: Tensor) -> Tensor:
    """Return what each label costs with all others at their best, `(y, x, label)`, up to loops counting twice.

    Belief propagation by sweeps: messages run along rows and columns, each way, so one pass crosses the image. `costs`
    `(y, x, label)`, `between` `(label, label)` of neighbours.

    Tappen and Freeman, Comparison of graph cuts with belief propagation for stereo, ICCV 2003.
    """
    beliefs, messages = costs.clone(), {}
    for _ in range(SWEEPS):
        for axis in (1, 0):
            for forward in (True, False):
                _sweep(beliefs, messages, between, axis, forward)
    return beliefs


def _sweep(beliefs: Tensor, messages: dict, between: Tensor, axis: int, forward: bool) -> None:
    """Send messages along one axis; `beliefs`, costs and all messages received, change in place."""
    shown = beliefs.transpose(0, axis)
    old = messages.setdefault((axis, forward), torch.zeros_like(shown))
    against = messages.setdefault((axis, not forward), torch.zeros_like(shown))
    order = range(len(shown) - 1) if forward else range(len(shown) - 1, 0, -1)
    for here in order:
        there = here + 1 if forward else here - 1
        sent = ((shown[here] - against[here])[:, :, None] + between).amin(1)
        sent = sent - sent.amin(1, keepdim=True)
        shown[there] += sent - old[there]
        old[there] = sent
