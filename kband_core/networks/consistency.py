"""Data consistency: the image that agrees with what was measured, and with a denoiser where there is noise."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from kband_core.operators import EncodingOperator
from kband_core.solvers import solve_normal


def agree(
    operator: EncodingOperator, adjoint: Tensor, denoised: Tensor, weight: Tensor, *, n_iterations: int
) -> Tensor:
    """Solve (AᴴA + λ) x = Aᴴy + λz by conjugate gradient, starting from z; `(b, set, y, x)`.

    `adjoint` is Aᴴy, `denoised` z, `weight` λ `(b, 1, 1, 1)`. The backward pass solves the same system once more,
    instead of remembering the steps: memory does not grow with them (Aggarwal, MoDL, 2019, eq. 18). It is exact for
    a converged solution.
    """
    return _Agree.apply(adjoint, denoised, weight, operator, n_iterations)


def replace_measured(image: Tensor, kspace: Tensor, operator: EncodingOperator) -> Tensor:
    """Put measured samples in the place of those of an image `(b, set, y, x)`, coil by coil: x + Aᴴ(y − Ax).

    As if there were no noise. Coils are combined afterwards, so that the samples of several are nearer to those
    measured then, but not the same (Schlemper, IEEE TMI 37:491, 2018, for one coil).
    """
    return image + operator.adjoint(kspace - operator.forward(image))


class _Agree(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, adjoint: Tensor, denoised: Tensor, weight: Tensor, operator: EncodingOperator, n_iterations: int
    ) -> Tensor:
        # with x = z + d: (AᴴA + λ) d = Aᴴy − AᴴA z, which is small where z already agrees
        image = denoised + solve_normal(operator, adjoint - operator.normal(denoised), weight, n_iterations)
        ctx.save_for_backward(denoised, image, weight)
        ctx.operator, ctx.n_iterations = operator, n_iterations
        return image

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        denoised, image, weight = ctx.saved_tensors
        solved = solve_normal(ctx.operator, gradient, weight, ctx.n_iterations)
        of_weight = (solved.conj() * (denoised - image)).real.sum((-3, -2, -1), keepdim=True)
        return solved, weight * solved, of_weight, None, None
