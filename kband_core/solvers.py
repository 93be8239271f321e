"""Batches of linear systems: conjugate gradient, and ridge regression."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from kband_core.operators import EncodingOperator, GridOperator
from kband_core.plural import counted
from kband_core.threads import single_thread


def conjugate_gradient(
    normal: Callable[[Tensor], Tensor], b: Tensor, n_iterations: int, *, dims: tuple[int, ...] = (-3, -2, -1)
) -> Tensor:
    """Solve `normal(x) = b` from x = 0 in a fixed number of iterations (Hestenes and Stiefel 1952).

    `dims` span one system, the axes before them are batch. No value is read back to the host; a system that has
    converged to rounding stays where it is, since further steps would follow rounding errors away from the solution.
    Differentiable by autograd.
    """
    if b.is_complex():  # real arithmetic on real and imaginary parts: every step length is real
        solution = conjugate_gradient(
            lambda x: torch.view_as_real(normal(torch.view_as_complex(x)).resolve_conj()),
            torch.view_as_real(b.resolve_conj()),
            n_iterations,
            dims=(*(dim % b.ndim for dim in dims), -1),
        )
        return torch.view_as_complex(solution)
    x = torch.zeros_like(b)
    residual = direction = b
    energy = _inner(b, b, dims)
    floor = energy * torch.finfo(energy.dtype).eps ** 2
    for _ in range(n_iterations):
        applied = normal(direction)
        step = _ratio(energy * (energy > floor), _inner(direction, applied, dims))
        x = torch.addcmul(x, step, direction)
        residual = torch.addcmul(residual, step, applied, value=-1)
        previous, energy = energy, _inner(residual, residual, dims)
        direction = torch.addcmul(residual, _ratio(energy, previous), direction)
    return x


def solve_normal(operator: EncodingOperator, b: Tensor, weight: Tensor | float, n_iterations: int) -> Tensor:
    """Solve (AᴴA + λ) x = b, `weight` being λ, by a fixed number of conjugate-gradient steps: for any sampling.

    `b` `(..., set, y, x)`: the sets of an image belong together, the axes before them are batch. Of whole lines every
    column is a system of its own, with steps of its own length, and stays with the core that solves it.
    """
    with single_thread():  # the operator has threads of its own
        if isinstance(operator, GridOperator) and operator.has_columns:
            return operator.of_columns(
                lambda normal, columns: conjugate_gradient(
                    lambda x: normal(x) + weight * x, columns, n_iterations, dims=(-3, -1)
                ), b,
            )  # fmt: skip
        return conjugate_gradient(lambda x: operator.normal(x) + weight * x, b, n_iterations)


def ridge(who: str, columns: Tensor, targets: Tensor, *, regularisation: float) -> Tensor:
    """W that minimises ‖W·columns − targets‖² + λ‖W‖², λ being `regularisation` times the mean of columns·columnsᴴ's
    diagonal: columns `(..., in, window)`, targets `(..., out, window)`, W `(..., out, in)`.

    The normal matrix is solved by Cholesky in double precision. Raises `ValueError`, in the name of `who`, if singular.
    """
    normal = (columns @ columns.mH).to(torch.complex128)
    diagonal = torch.diagonal(normal, dim1=-2, dim2=-1)
    diagonal += regularisation * diagonal.mean(-1, keepdim=True)
    factor, failed = torch.linalg.cholesky_ex(normal)
    if failed.any():
        of_all = counted(failed.numel(), "slice has", "slices have")
        raise ValueError(
            f"{who}: {int((failed > 0).sum())} of {of_all} a singular normal matrix at "
            f"regularisation {regularisation:g}; signal in every calibration, or a larger value, needed"
        )
    cross = (targets @ columns.mH).mH.to(torch.complex128)
    return torch.cholesky_solve(cross, factor).mH.to(columns.dtype)


def _inner(a: Tensor, b: Tensor, dims: tuple[int, ...]) -> Tensor:
    return (a * b).sum(dims, keepdim=True)


def _ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    """Ratio of energies, 0 where both are. Three kernels: an image takes hundreds, and a GPU is slow to begin one."""
    return numerator / (denominator + (denominator <= 0))
