"""Shots as curves: uniform quadratic B-splines, whose gradient is piecewise linear and whose slew rate is constant.

A shot of m segments has m + 2 control points `(..., point, 2)`. From one knot to the next the curve is a parabola, so
that limits which differences of control points keep are kept at every instant.
"""

from __future__ import annotations

import torch
from torch import Tensor


def curve(points: Tensor, at: Tensor) -> Tensor:
    """Evaluate shots `(..., point, 2)` at `at` `(sample,)`, in segments from the beginning on: `(..., sample, 2)`.

    k(u) = ½(1−u)² p₀ + (½ + u − u²) p₁ + ½u² p₂ in the segment of the points p₀, p₁, p₂, u from 0 to 1.
    """
    n_segments = points.shape[-2] - 2
    segment = at.floor().clamp(0, n_segments - 1)
    u = (at - segment).to(points.dtype)[:, None]
    first = segment.long()
    p0, p1, p2 = (points[..., first + n, :] for n in range(3))
    return 0.5 * (1 - u) ** 2 * p0 + (0.5 + u - u**2) * p1 + 0.5 * u**2 * p2


def velocity(points: Tensor) -> Tensor:
    """Return what the curve moves per segment at its knots: `(..., segment + 1, 2)`."""
    return torch.diff(points, dim=-2)


def acceleration(points: Tensor) -> Tensor:
    """Return by how much the velocity changes within each segment, evenly: `(..., segment, 2)`."""
    return torch.diff(points, n=2, dim=-2)


def refined(points: Tensor) -> Tensor:
    """Return the same curves with twice the segments: `(..., 2·segment + 2, 2)` (Chaikin 1974)."""
    before, after = points[..., :-1, :], points[..., 1:, :]
    cut = torch.stack((0.75 * before + 0.25 * after, 0.25 * before + 0.75 * after), -2)
    return cut.flatten(-3, -2)


def fitted(places: Tensor, at: Tensor, n_segments: int) -> Tensor:
    """Return the curves of `n_segments` nearest to places `(..., sample, 2)` at times `at`, in least squares."""
    unit = torch.eye(n_segments + 2, dtype=torch.float64)
    basis = curve(unit[:, :, None], at)[..., 0].T  # (sample, point)
    return (torch.linalg.pinv(basis) @ places.double()).to(places.dtype)
