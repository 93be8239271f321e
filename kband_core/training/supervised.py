"""What all supervisions share: lines are left out of a plane, and an image is judged. Supervised by all samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor

from kband_core.losses import Norm, kspace_loss, normalised_loss, relative_image_loss
from kband_core.training.acquired import Acquired
from kband_core.training.dataset import Plane
from kband_core.training.example import Example, make_example
from kband_core.training.undersampling import Undersampling


@dataclass(frozen=True, kw_only=True)
class Supervision(Undersampling):
    """Turn a plane into an example, and judge by it."""

    def __call__(self, plane: Plane, rng: torch.Generator, angle: float | None = None) -> Example:
        """Make an example of a plane; `angle` is that of its scan, in degrees, unless the plane has its own."""
        raise NotImplementedError

    def loss(self, image: Tensor, csm: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """Judge images `(b, set, y, x)` by a batch of targets and weights; a scalar."""
        raise NotImplementedError

    def draws_from(self, acquired: Acquired) -> bool:
        """Whether lines are left out of what was acquired; else it is sampled as it is."""
        return True

    def sampled(self, plane: Plane, rng: torch.Generator) -> Tensor:
        """Draw what is sampled of what was acquired, `(ky, kx)` or `(ky, 1)`."""
        if not self.draws_from(plane.acquired):
            return plane.mask
        return self.draw(plane.acquired.shape, rng).to(plane.mask.device) & plane.mask


@dataclass(frozen=True, kw_only=True)
class Compared(Supervision):
    """Judge by the mean weighted distance of samples, `l1`, or its square, `l2`."""

    norm: Norm = "l1"
    norms: ClassVar[tuple[str, ...]] = get_args(Norm)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.norm not in self.norms:
            raise ValueError(f"norm: '{self.norm}' is not one of {', '.join(self.norms)}")

    def loss(self, image: Tensor, csm: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        return kspace_loss(image, csm, target, weight, norm=self.norm)


@dataclass(frozen=True, kw_only=True)
class Supervised(Compared):
    """Judge by everything acquired: MoDL as published, but for the norm; `normalised` is the loss of `ssdu`.

    `relative` compares images, in logarithmic measure, and needs fully sampled planes.
    """

    norm: Norm | Literal["normalised", "relative"] = "l1"
    norms: ClassVar[tuple[str, ...]] = (*get_args(Norm), "normalised", "relative")

    def loss(self, image: Tensor, csm: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        if self.norm == "relative":
            return relative_image_loss(image, csm, target)
        if self.norm == "normalised":
            return normalised_loss(image, csm, target, weight)
        return super().loss(image, csm, target, weight)

    def __call__(self, plane: Plane, rng: torch.Generator, angle: float | None = None) -> Example:
        if self.norm == "relative" and not plane.acquired.has_reference:
            raise ValueError("supervised: a fully sampled plane needed for norm 'relative'; use normalised")
        sampled = self.sampled(plane, rng)
        return make_example(plane, sampled, plane.mask, sampled)
