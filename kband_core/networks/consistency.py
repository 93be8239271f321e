"""Data consistency: the image that agrees both with the denoiser and with what was measured."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from kband_core.operators import Sense
from kband_core.solvers import conjugate_gradient

DIMS = (-3, -2, -1)  # of one image: set, y, x
Solve = Callable[[Tensor, Tensor], Tensor]  # b (b, set, y, x) and λ (b, 1, 1, 1) → (AᴴA + λ)⁻¹ b


def by_conjugate_gradient(operator: Sense, n_iterations: int) -> Solve:
    """Solve by a fixed number of conjugate-gradient steps: for any mask."""
    return lambda b, weight: conjugate_gradient(lambda x: operator.normal(x) + weight * x, b, n_iterations, dims=DIMS)


def agree(operator: Sense, adjoint: Tensor, denoised: Tensor, weight: Tensor, solve: Solve) -> Tensor:
    """Solve (AᴴA + λ) x = Aᴴy + λz, starting from z; `(b, set, y, x)`.

    `adjoint` is Aᴴy, `denoised` z, `weight` λ `(b, 1, 1, 1)`. The backward pass solves the same system once more,
    instead of remembering the steps: memory does not grow with them (Aggarwal, MoDL, 2019, eq. 18). It is exact for
    a converged solution.
    """
    return _Agree.apply(adjoint, denoised, weight, operator, solve)


class _Agree(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, adjoint: Tensor, denoised: Tensor, weight: Tensor, operator: Sense, solve: Solve) -> Tensor:
        # with x = z + d: (AᴴA + λ) d = Aᴴy − AᴴA z, which is small where z already agrees
        image = denoised + solve(adjoint - operator.normal(denoised), weight)
        ctx.save_for_backward(denoised, image, weight)
        ctx.solve = solve
        return image

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        denoised, image, weight = ctx.saved_tensors
        solved = ctx.solve(gradient, weight)
        of_weight = (solved.conj() * (denoised - image)).real.sum(DIMS, keepdim=True)
        return solved, weight * solved, of_weight, None, None
