"""K-band: judged by the band of the scan, whose samples weigh more the fewer bands visit them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import torch
from torch import Tensor

from kband_core.bands import Geometry, band_mask, band_weight
from kband_core.losses import relative_part_loss
from kband_core.operators import EncodingOperator
from kband_core.training.dataset import Plane
from kband_core.training.example import Example, make_example
from kband_core.training.supervision.limited import Limited


@dataclass(frozen=True, kw_only=True)
class KBand(Limited):
    """Judge by the band of the scan, each sample weighted by the inverse of how often bands visit it.

    `angles`: those of all scans of a study, whose exact coverage is then used; without, angles are taken as uniform.
    `weighted=False` leaves the weight out. `decoupled` shows the network samples from outside the band too: only
    possible where everything was acquired, and the one case in which the weighted loss is unbiased to the letter; as
    practised, the network's input depends on the band. The weight is not normalised to mean 1, so that the loss has
    the size of the supervised one in planes of every shape.

    `relative`, a third norm, compares combined coils, in logarithmic measure: see `relative_part_loss`.

    Published bands are `tangent`. They hardly reach the corners of a square k-space: at R=4 none comes to 5 % of it,
    and W is capped in 20 %, which little then teaches. A `strip` reaches all of it, with W of 9 at most, for longer
    readouts.

    Wang et al., K-band, arXiv 2308.02958.
    """

    norms: ClassVar[tuple[str, ...]] = (*Limited.norms, "relative")
    geometry: Geometry = "tangent"
    aspect: float = 1.0
    angles: Sequence[float] | None = None
    cap: float = 12.0
    weighted: bool = True
    decoupled: bool = False

    def __call__(self, plane: Plane, rng: torch.Generator, angle: float | None = None) -> Example:
        shape, angle = plane.acquired.shape, self.angle_of(plane, angle)
        acquired = self.band_acceleration if plane.band_acceleration is None else plane.band_acceleration
        if not math.isclose(acquired, self.band_acceleration, rel_tol=1e-6):
            raise ValueError(
                f"band_acceleration: {self.band_acceleration:g}, but slice {plane.slice} of subject {plane.subject} is "
                f"a band of {acquired:g}, whose weight is another; train on bands of one acceleration"
            )
        band = band_mask(shape, self.band_acceleration, angle, geometry=self.geometry, aspect=self.aspect)
        band = band.to(plane.mask.device)
        sampled = self.sampled(plane, rng)
        weight = plane.mask & band
        if self.weighted:
            angles = None if self.angles is None else tuple(self.angles)
            once = _band_weight(shape, self.band_acceleration, self.geometry, angles, self.aspect, self.cap)
            weight = weight * once.to(weight.device)
        return make_example(plane, sampled if self.decoupled else sampled.within(band), weight, sampled)

    def loss(self, image: Tensor, operator: EncodingOperator, target: Tensor, weight: Tensor) -> Tensor:
        if self.norm == "relative":
            return relative_part_loss(image, operator, target, weight)
        return super().loss(image, operator, target, weight)


@lru_cache(maxsize=64)
def _band_weight(
    shape: tuple[int, int],
    acceleration: float,
    geometry: Geometry,
    angles: tuple[float, ...] | None,
    aspect: float,
    cap: float,
) -> Tensor:
    return band_weight(shape, acceleration, geometry=geometry, angles=angles, aspect=aspect, cap=cap)
