"""Supervised by all samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from kband_core.losses import Norm, kspace_loss, normalised_loss, relative_image_loss
from kband_core.operators import EncodingOperator
from kband_core.training.dataset import Plane
from kband_core.training.example import Example, make_example
from kband_core.training.supervision.contract import Supervision, check_choice


@dataclass(frozen=True, kw_only=True)
class Supervised(Supervision):
    """Judge by everything acquired: MoDL as published, but for the norm; `normalised` is the loss of `ssdu`.

    `relative` compares images, in logarithmic measure, and needs fully sampled planes.
    """

    norm: Norm | Literal["normalised", "relative"] = "l1"

    def __post_init__(self) -> None:
        check_choice("norm", self.norm, (*get_args(Norm), "normalised", "relative"))

    def __call__(self, plane: Plane, rng: torch.Generator, angle: float | None = None) -> Example:
        if self.norm == "relative" and not plane.acquired.has_reference:
            raise ValueError("supervised: a fully sampled plane needed for norm 'relative'; use normalised")
        sampled = self.sampled(plane, rng)
        return make_example(plane, sampled, plane.mask, sampled)

    def loss(self, image: Tensor, operator: EncodingOperator, target: Tensor, weight: Tensor) -> Tensor:
        if self.norm == "relative":
            return relative_image_loss(image, operator, weight.unsqueeze(-3) * target)
        if self.norm == "normalised":
            return normalised_loss(image, operator, target, weight)
        return kspace_loss(image, operator, target, weight, norm=self.norm)
