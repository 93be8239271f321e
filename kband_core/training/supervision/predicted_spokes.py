"""Supervision of networks that predict spokes: by those that they did not see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from kband_core.networks.pkt import Pkt, projected
from kband_core.projections import Spokes as Lines
from kband_core.training.example import Example
from kband_core.training.supervision.spokes import Spokes


@dataclass(frozen=True, kw_only=True)
class PredictedSpokes(Spokes):
    """Judge spokes that were left out, at most `judged` of a plane, by those of the image of all: ‖z − z*‖ / ‖z*‖.

    A scan simulated with as many spokes as Nyquist asks for is seen through many windows of few of them, evenly spaced
    or golden ones from a random start; what it has besides is what is to be predicted.
    """

    sees_coils: ClassVar[bool] = False

    judged: int = 40

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.judged < 1:
            raise ValueError(f"predicted_spokes: judged is {self.judged}, 1 or more expected")

    def loss_of(self, network: nn.Module, example: Example) -> Tensor:
        if not isinstance(network, Pkt):
            raise ValueError("predicted_spokes: this network predicts no spokes; pkt expected")
        with torch.no_grad():
            operator = example.operator()
            start, _ = network.start(example.kspace, operator)
            whole = example.target_operator().adjoint(example.weight.unsqueeze(1) * example.target)
        losses, shape, shots = [], tuple(start.shape[-2:]), example.sampling
        each = zip(start, whole, shots.coords, shots.weight, example.noise, strict=True)
        for sets, references, coords, weight, noise in each:
            seen = weight.any(-1)
            left = (~seen).nonzero().flatten()
            left = left[:: -(-len(left) // self.judged)]
            measured, wanted = Lines.of(coords[seen], shape), Lines.of(coords[left], shape)
            for image, reference in zip(sets, references, strict=True):
                truth = projected(reference, wanted)
                found = network.predict(image, measured, wanted, noise)
                losses.append((found - truth).norm() / truth.norm().clamp(min=torch.finfo(torch.float32).tiny))
        return torch.stack(losses).mean()
