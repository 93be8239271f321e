"""Judged by a part of k-space as large as a band; the two whose part is always the same."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, get_args

import torch
from torch import Tensor

from kband_core.bands import band_mask
from kband_core.losses import Norm, kspace_loss
from kband_core.operators import EncodingOperator
from kband_core.training.dataset import Plane
from kband_core.training.example import Example, make_example
from kband_core.training.supervision.contract import Supervision, check_choice


@dataclass(frozen=True, kw_only=True)
class Limited(Supervision):
    """Judge by 1/`band_acceleration` of k-space: by the mean distance of its samples, `l1`, or its square, `l2`."""

    norms: ClassVar[tuple[str, ...]] = get_args(Norm)
    band_acceleration: float = 4.0
    norm: str = "l1"

    def __post_init__(self) -> None:
        check_choice("norm", self.norm, self.norms)
        if not self.band_acceleration >= 1:
            raise ValueError(f"band_acceleration: {self.band_acceleration:g}, at least 1 needed")

    def loss(self, image: Tensor, operator: EncodingOperator, target: Tensor, weight: Tensor) -> Tensor:
        return kspace_loss(image, operator, target, weight, norm=self.norm)

    @staticmethod
    def angle_of(plane: Plane, drawn: float | None) -> float:
        """Return the angle of the band that was acquired, else the one `drawn` for the scan; `ValueError` without."""
        angle = drawn if plane.angle is None else plane.angle
        if angle is None:
            raise ValueError("kband: the plane has no band angle, and none was drawn for its scan")
        return angle

    def within(self, part: Tensor, plane: Plane, rng: torch.Generator) -> Example:
        """Make an example that is seen and judged within a part of k-space, bool `(ky, kx)`, alone."""
        part, sampled = part.to(plane.mask.device), self.sampled(plane, rng)
        return make_example(plane, sampled.within(part), plane.mask & part, sampled)


class Vertical(Limited):
    """Judge by the same band in every scan, at angle 0: the baseline that never sees high frequencies along kx."""

    def __call__(self, plane: Plane, rng: torch.Generator, angle: float | None = None) -> Example:
        return self.within(band_mask(plane.acquired.shape, self.band_acceleration, 0.0), plane, rng)


class Square(Limited):
    """Judge by the central square of side ⌊√(H·W/R)⌋: the baseline that never sees high frequencies."""

    def __call__(self, plane: Plane, rng: torch.Generator, angle: float | None = None) -> Example:
        n_ky, n_kx = plane.acquired.shape
        side = math.floor(math.sqrt(n_ky * n_kx / self.band_acceleration))
        square = torch.zeros(n_ky, n_kx, dtype=torch.bool)
        top, left = (max(n // 2 - side // 2, 0) for n in (n_ky, n_kx))
        square[top : top + side, left : left + side] = True
        return self.within(square, plane, rng)
