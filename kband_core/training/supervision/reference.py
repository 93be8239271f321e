"""The bands, weight and target of the published k-band code, quirks included, so that ours can be compared with them.

Kept: sizes truncated to even integers; a box rotated by cubic splines about a centre half a pixel off DC, its modulus
taken, so that values run from 0 to 1.23 and multiply the data; the weight from counts over 180 integer degrees, below
0.5 set to 0, inverted, scaled to mean 1, and smoothed by a 5 x 5 box with zeros beyond the border; the coil-combined
target, which needs fully sampled data. Not kept: fractional values in the network's data consistency, whose masks are
binary here (above 0.5); unnormalised transforms, which scale the loss only; masks on disk.

Wang et al., K-band, arXiv 2308.02958.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from kband_core.bands import band_size
from kband_core.coils import combine
from kband_core.fourier import to_image, to_kspace
from kband_core.losses import Norm, weighted_distance
from kband_core.operators import EncodingOperator
from kband_core.training.dataset import Plane
from kband_core.training.example import Example, make_example
from kband_core.training.supervision.limited import Limited

MARGIN = 16  # samples around the box: a spline has forgotten an edge by then, 0.27¹⁶ = 1e-9


class Reference(Limited):
    """Train as the published code does. Needs fully sampled planes."""

    def __call__(self, plane: Plane, rng: torch.Generator, angle: float | None = None) -> Example:
        if not plane.acquired.has_reference:
            raise ValueError("reference: a fully sampled plane needed for the coil-combined target; use kband")
        shape, device = plane.acquired.shape, plane.mask.device
        band = reference_band(shape, self.band_acceleration, round(self.angle_of(plane, angle))).to(device)
        weight = band * reference_weight(shape, self.band_acceleration).to(device)
        sampled = self.sampled(plane, rng)
        example = make_example(plane, sampled.within(band > 0.5), weight, sampled, taper=band)
        return replace(example, target=combined_kspace(example.target, plane.csm))

    def loss(self, image: Tensor, operator: EncodingOperator, target: Tensor, weight: Tensor) -> Tensor:
        return combined_loss(image, target, weight, norm=self.norm)


def reference_band(shape: tuple[int, int], acceleration: float, angle: int) -> Tensor:
    """Return the rotated box at `angle` degrees as cubic splines make it, float32 `(ky, kx)`, 0 to 1.23.

    A spline through the samples of a box is the product of those along its sides: no canvas is rotated.
    """
    length, width = (2 * int(side / 2) for side in band_size(shape, acceleration, angle))
    rows, columns = (torch.arange(n, dtype=torch.float64) - n // 2 + 0.5 for n in shape)
    radians = torch.tensor(angle % 180, dtype=torch.float64).deg2rad()
    along = rows[:, None] * radians.cos() + columns * radians.sin()
    across = columns * radians.cos() - rows[:, None] * radians.sin()
    return (_box_spline(length, along) * _box_spline(width, across)).abs().float()


@lru_cache(maxsize=16)
def reference_weight(shape: tuple[int, int], acceleration: float) -> Tensor:
    """Return the published weight, float32 `(ky, kx)`."""
    count = torch.stack([reference_band(shape, acceleration, angle) for angle in range(180)]).sum(0)
    weight = torch.where(count < 0.5, 0, 1 / count)
    weight = weight / weight[weight > 0].mean()
    return avg_pool2d(weight[None, None], 5, stride=1, padding=2)[0, 0]


def combined_kspace(kspace: Tensor, csm: Tensor) -> Tensor:
    """Transform the coil-combined image back: what one virtual coil would have measured, `(set, ky, kx)`."""
    return to_kspace(combine(to_image(kspace), csm))


def combined_loss(image: Tensor, target: Tensor, weight: Tensor, *, norm: Norm = "l1") -> Tensor:
    """Return the mean of weight·|F x − target|, or its square, over the virtual coils `(b, set, ky, kx)`."""
    return weighted_distance(to_kspace(image) - target, weight, norm=norm)


def _box_spline(length: int, position: Tensor) -> Tensor:
    """Evaluate the cubic spline through samples at half-integers, 1 within ±`length`/2 and 0 beyond, at `position`."""
    n = length // 2 + MARGIN
    samples = torch.zeros(2 * n, dtype=torch.float64)
    samples[MARGIN:-MARGIN] = 1
    side = torch.full((2 * n - 1,), 1 / 6, dtype=torch.float64)
    matrix = torch.diag(torch.full((2 * n,), 2 / 3, dtype=torch.float64)) + torch.diag(side, 1) + torch.diag(side, -1)
    coefficients = torch.linalg.solve(matrix, samples)
    index = (position - 0.5 + n).clamp(1, 2 * n - 3)
    first = index.floor()
    x = index - first
    taps = ((1 - x) ** 3, 3 * x**3 - 6 * x**2 + 4, 3 * (1 - x) ** 3 - 6 * (1 - x) ** 2 + 4, x**3)
    return sum(tap / 6 * coefficients[first.long() + shift] for shift, tap in zip(range(-1, 3), taps, strict=True))
