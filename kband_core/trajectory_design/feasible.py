"""The curves nearest to given ones that a gradient system can follow."""

from __future__ import annotations

import torch
from torch import Tensor

from kband_core.trajectory_design.curves import acceleration, velocity
from kband_core.trajectory_design.gradient_limits import GradientLimits, Raster

EDGE = 0.5  # cycles per pixel
MOST_ITERATIONS = 5000
LOOKED = 50  # iterations from one look whether limits are kept to the next
CLOSE = 1e-3  # beyond them, relative
STIFFNESS = 0.1  # of the constraints beside the distance, ADMM's ρ


def feasible(points: Tensor, raster: Raster, limits: GradientLimits) -> Tensor:
    """Project curves `(..., point, 2)` onto those that keep limits: the least mean square distance of control points.

    min ½‖p − p₀‖² with ‖D₁p‖ ≤ g and ‖D₂p‖ ≤ s at every knot and in every segment, and control points within k-space,
    between which the curve stays: a convex problem, by ADMM (Boyd 2011; Chauffert 2016 for samples). It ends `CLOSE`
    to the limits.
    """
    unit = torch.eye(points.shape[-2], dtype=torch.float64)
    speed = limits.speed(raster.segment_us, raster.pixel_mm)
    bend = limits.bend(raster.segment_us, raster.pixel_mm)
    rows = torch.cat((velocity(unit) / speed, acceleration(unit) / bend, unit / EDGE))  # of what is limited to 1
    n_vectors = len(rows) - len(unit)
    solve = torch.linalg.inv(unit + STIFFNESS * rows.T @ rows)
    wanted = found = points.double()
    kept = _kept(rows @ wanted, n_vectors)
    dual = torch.zeros_like(kept)
    for iteration in range(MOST_ITERATIONS):
        found = solve @ (wanted + STIFFNESS * rows.T @ (kept - dual))
        reached = rows @ found
        kept = _kept(reached + dual, n_vectors)
        dual = dual + reached - kept
        if iteration % LOOKED == 0 and (reached - _kept(reached, n_vectors)).abs().max() < CLOSE:
            break
    return found.clamp(-EDGE, EDGE).to(points.dtype)


def _kept(values: Tensor, n_vectors: int) -> Tensor:
    """Cut vectors to norm 1, and places to ±1."""
    vectors, places = values[..., :n_vectors, :], values[..., n_vectors:, :]
    norm = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
    return torch.cat((vectors / norm.clamp(min=1), places.clamp(-1, 1)), -2)
