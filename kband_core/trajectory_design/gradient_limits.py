"""What a gradient system can do, in the units of curves."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from kband_core.trajectory_design.curves import acceleration, velocity

PROTON = 42.577478518e6  # hertz per tesla


@dataclass(frozen=True, kw_only=True)
class GradientLimits:
    """The largest gradient and slew rate, of the vector of both axes: mT/m and T/m/s.

    Raises `ValueError` for numbers that are not positive.
    """

    gradient: float = 40.0
    slew: float = 150.0

    def __post_init__(self) -> None:
        for name, unit in (("gradient", "mT/m"), ("slew", "T/m/s")):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name):g} {unit}, more than 0 expected")

    def scaled(self, part: float) -> GradientLimits:
        """Return a part of both."""
        return GradientLimits(gradient=part * self.gradient, slew=part * self.slew)

    def speed(self, time_us: float, pixel_mm: float) -> float:
        """Return the way in k-space that the largest gradient goes in a time, in cycles per pixel."""
        return PROTON * self.gradient * 1e-3 * time_us * 1e-6 * pixel_mm * 1e-3

    def bend(self, time_us: float, pixel_mm: float) -> float:
        """Return by how much that way can change from one such time to the next, in cycles per pixel."""
        return PROTON * self.slew * (time_us * 1e-6) ** 2 * pixel_mm * 1e-3


@dataclass(frozen=True, kw_only=True)
class Raster:
    """The time that a segment takes, in µs, and the size of a pixel, in mm, one over the extent of k-space."""

    segment_us: float
    pixel_mm: float

    def gradients(self, points: Tensor) -> Tensor:
        """Return the gradient at every knot of curves, in mT/m: `(..., segment + 1, 2)`."""
        return velocity(points) / GradientLimits(gradient=1, slew=1).speed(self.segment_us, self.pixel_mm)

    def slew_rates(self, points: Tensor) -> Tensor:
        """Return the slew rate within every segment of curves, in T/m/s: `(..., segment, 2)`."""
        return acceleration(points) / GradientLimits(gradient=1, slew=1).bend(self.segment_us, self.pixel_mm)

    def largest(self, points: Tensor) -> tuple[float, float]:
        """Return the largest gradient, mT/m, and slew rate, T/m/s, of curves: the norms of both axes' vectors."""
        of_both = (torch.linalg.vector_norm(values, dim=-1).max() for values in self._both(points))
        gradient, slew = (float(value) for value in of_both)
        return gradient, slew

    def excess(self, points: Tensor, limits: GradientLimits) -> Tensor:
        """Return the mean square of what exceeds the limits, relative to them: 0 where they are kept."""
        parts = zip(self._both(points), (limits.gradient, limits.slew), strict=True)
        over = (torch.relu(torch.linalg.vector_norm(values, dim=-1) / most - 1) for values, most in parts)
        return sum(value.square().mean() for value in over)

    def _both(self, points: Tensor) -> tuple[Tensor, Tensor]:
        return self.gradients(points), self.slew_rates(points)
