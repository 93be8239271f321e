"""SSDU: judged by a part of the samples that the network does not see."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import torch
from torch import Tensor

from kband_core.losses import normalised_loss
from kband_core.operators import EncodingOperator
from kband_core.patterns import ssdu_split
from kband_core.training.acquired import Acquired
from kband_core.training.dataset import Plane
from kband_core.training.example import Example, make_example
from kband_core.training.supervision.contract import Supervision


@dataclass(frozen=True, kw_only=True)
class Ssdu(Supervision):
    """Judge by a random part of the samples, which the network does not see; `fraction` of them.

    The sampling of a fully sampled plane is drawn once and for all, from its own k-space, since a scan that is
    undersampled has no other samples to offer; the split is drawn anew. An undersampled plane is taken as it is.

    Yaman et al., Self-supervised learning of physics-guided reconstruction, MRM 84:3172 (2020).
    """

    fraction: float = 0.4

    def draws_from(self, acquired: Acquired) -> bool:
        return acquired.is_gapless

    def __call__(self, plane: Plane, rng: torch.Generator, angle: float | None = None) -> Example:
        central = plane.kspace[:, plane.acquired.shape[0] // 2].cpu().numpy().tobytes()
        acquired = self.sampled(plane, torch.Generator().manual_seed(zlib.crc32(central)))
        seen, judged = ssdu_split(acquired, fraction=self.fraction, rng=rng)
        return make_example(plane, seen, judged.mask, acquired, scaled_by=acquired)

    def loss(self, image: Tensor, operator: EncodingOperator, target: Tensor, weight: Tensor) -> Tensor:
        return normalised_loss(image, operator, target, weight)
