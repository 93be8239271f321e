"""What every way of training offers: an example of a plane, and a judgement of the image that a network makes of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor, nn

from kband_core.operators import EncodingOperator
from kband_core.sampling import Grid
from kband_core.training.acquired import Acquired
from kband_core.training.dataset import Plane
from kband_core.training.example import Example
from kband_core.training.undersampling import Undersampling


@dataclass(frozen=True, kw_only=True)
class Supervision(ABC):
    """Turn a plane into an example, and judge by it; `undersampling`, a `drawing`, draws what is left out."""

    drawing: ClassVar[type] = Undersampling
    sees_coils: ClassVar[bool] = True  # False: networks see images of combined coils, however many these were
    undersampling: Undersampling = field(default_factory=Undersampling)

    @abstractmethod
    def __call__(self, plane: Plane, rng: torch.Generator, angle: float | None = None) -> Example:
        """Make an example of a plane; `angle` is that of its scan, in degrees, unless the plane has its own."""

    @abstractmethod
    def loss(self, image: Tensor, operator: EncodingOperator, target: Tensor, weight: Tensor) -> Tensor:
        """Judge images `(b, set, y, x)` by a batch of targets and weights, with A of these samples; a scalar."""

    def loss_of(self, network: nn.Module, example: Example) -> Tensor:
        """Judge what a network makes of a batch of examples; a scalar."""
        image = network(example.kspace, example.operator(), example.noise)
        return self.loss(image, example.target_operator(), example.target, example.weight)

    def draws_from(self, acquired: Acquired) -> bool:
        """Whether lines are left out of what was acquired; else it is sampled as it is."""
        return True

    def sampled(self, plane: Plane, rng: torch.Generator) -> Grid:
        """Draw what is sampled of what was acquired."""
        acquired = plane.acquired
        if not self.draws_from(acquired):
            return acquired.sampling
        return self.undersampling.draw(acquired.shape, rng).to(plane.mask.device).within(plane.mask)


def check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    """Raise `ValueError` if an option is none of its choices."""
    if value not in choices:
        raise ValueError(f"{name}: '{value}' is not one of {', '.join(choices)}")
