"""The moving average of a network's weights, which is what is validated and shipped."""

from __future__ import annotations

import copy

import torch
from torch import nn


class MovingAverage:
    """θ̄ ← d θ̄ + (1 - d) θ with d = min(decay, (1 + n)/(10 + n)) after n updates, so that the start is forgotten.

    `network` is a copy that carries the averaged weights. Decay 0 follows the weights themselves. Torch's own
    `AveragedModel` takes the weights of the first step as they are, however little a step has taught.

    With a `share` of the first weights θ₀ it is share θ₀ + (1 - share) θ that is averaged: `first` holds θ₀. What was
    learned on some scans then costs less on others.

    Wortsman et al., Robust fine-tuning of zero-shot models, CVPR 2022.
    """

    def __init__(self, network: nn.Module, decay: float, share: float = 0.0) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.decay, self.share = decay, share
        self.first = [value.detach().clone() for value in network.parameters()] if share else []
        self.n_updates = 0

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Take the weights of one more step into account."""
        decay = min(self.decay, (1 + self.n_updates) / (10 + self.n_updates))
        values = list(network.parameters())
        if self.first:
            values = torch._foreach_lerp(values, self.first, self.share)
        torch._foreach_lerp_(list(self.network.parameters()), values, 1 - decay)  # one launch
        for mean, value in zip(self.network.buffers(), network.buffers(), strict=True):
            mean.copy_(value)
        self.n_updates += 1
