"""Data consistency: conjugate gradient with an implicit backward pass."""

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks

from kband_core.networks.consistency import agree
from kband_core.operators import encoding_operator
from kband_core.sampling import Grid
from kband_core.solvers import solve_normal


def random_complex(rng, *shape, dtype=torch.complex128) -> torch.Tensor:
    return torch.randn(*shape, dtype=dtype, generator=rng)


def normalised_maps(rng, *shape, dtype=torch.complex128) -> torch.Tensor:
    """Maps `(b, set, coil, y, x)` with Σ|S|² = 1."""
    csm = random_complex(rng, *shape, dtype=dtype)
    return csm / torch.linalg.vector_norm(csm, dim=(-4, -3), keepdim=True)


@pytest.fixture
def system(rng) -> tuple:
    """Two scans of 5 × 4 with other masks and λ each: operator, Aᴴy, z, λ in double precision."""
    csm = normalised_maps(rng, 2, 1, 3, 5, 4)
    operator = encoding_operator(Grid(torch.rand(2, 5, 4, generator=rng) > 0.4), csm)
    adjoint, denoised = random_complex(rng, 2, 1, 5, 4), random_complex(rng, 2, 1, 5, 4)
    weight = torch.tensor([0.1, 0.4], dtype=torch.float64).reshape(2, 1, 1, 1)
    return operator, *(tensor.requires_grad_() for tensor in (adjoint, denoised, weight))


def test_backward_without_the_steps_is_that_through_the_steps(system, rng):
    """At a converged solution one more solve gives the gradients of 30 remembered steps (20 unknowns, double)."""
    operator, adjoint, denoised, weight = system
    towards = random_complex(rng, *adjoint.shape)
    implicit = agree(operator, adjoint, denoised, weight, n_iterations=30)
    remembered = solve_normal(operator, adjoint + weight * denoised, weight, 30)
    torch.testing.assert_close(implicit, remembered, rtol=1e-9, atol=1e-9)
    gradients = [torch.autograd.grad(x, system[1:], towards) for x in (implicit, remembered)]
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-7, atol=1e-7)


def test_gradients_are_those_of_finite_differences(system):
    """Of Aᴴy, z and λ, in double precision; an oracle that knows nothing of eq. 18."""
    operator, *inputs = system
    assert torch.autograd.gradcheck(lambda *x: agree(operator, *x, n_iterations=30), inputs)


def test_memory_does_not_grow_with_iterations(system):
    """What is kept for the backward pass is the same for 2 and for 20 steps; through the steps it is not."""

    def kept(n_iterations: int, *, through: bool) -> int:
        operator, adjoint, denoised, weight = system
        sizes = []
        with saved_tensors_hooks(lambda x: sizes.append(x.nbytes) or x, lambda x: x):
            if through:
                solve_normal(operator, adjoint, weight, n_iterations)
            else:
                agree(operator, adjoint, denoised, weight, n_iterations=n_iterations)
        return sum(sizes)

    assert kept(2, through=False) == kept(20, through=False) > 0
    assert kept(20, through=True) > 5 * kept(2, through=True)


@pytest.mark.parametrize("last", [1, 9])
def test_one_set_of_maps_serves_many_masks(last, rng):
    """A dynamic scan: masks (time, ky, kx) on maps without time; AᴴA is Aᴴ after A (double precision)."""
    csm = normalised_maps(rng, 1, 3, 7, 9)
    operator = encoding_operator(Grid(torch.rand(4, 7, last, generator=rng) > 0.5), csm)
    image = random_complex(rng, 1, 7, 9)
    torch.testing.assert_close(operator.normal(image), operator.adjoint(operator.forward(image)))
