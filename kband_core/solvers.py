"""Conjugate gradient for batches of Hermitian positive definite systems."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def conjugate_gradient(
    normal: Callable[[Tensor], Tensor], b: Tensor, n_iterations: int, *, dims: tuple[int, ...] = (-3, -2, -1)
) -> Tensor:
    """Solve `normal(x) = b` from x = 0 in a fixed number of iterations (Hestenes and Stiefel 1952).

    `dims` span one system, the axes before them are batch. No value is read back to the host; a system that has
    converged to rounding stays where it is, since further steps would follow rounding errors away from the solution.
    Differentiable by autograd.
    """
    x = torch.zeros_like(b)
    residual = direction = b
    energy = _inner(b, b, dims)
    floor = energy * torch.finfo(energy.dtype).eps ** 2
    for _ in range(n_iterations):
        applied = normal(direction)
        still = torch.where(energy > floor, energy, torch.zeros_like(energy))
        step = _ratio(still, _inner(direction, applied, dims))
        x = x + step * direction
        residual = residual - step * applied
        previous, energy = energy, _inner(residual, residual, dims)
        direction = residual + _ratio(energy, previous) * direction
    return x


def _inner(a: Tensor, b: Tensor, dims: tuple[int, ...]) -> Tensor:
    return (a.conj() * b).real.sum(dims, keepdim=True)


def _ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    safe = torch.where(denominator > 0, denominator, torch.ones_like(denominator))
    return torch.where(denominator > 0, numerator / safe, torch.zeros_like(denominator))
