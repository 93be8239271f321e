"""Data consistency: conjugate gradient with an implicit backward pass, and the exact solve where lines decouple."""

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks

from kband_core.networks.consistency import DIMS, agree, by_conjugate_gradient
from kband_core.networks.decoupled import DecoupledSense
from kband_core.operators import Sense
from kband_core.solvers import conjugate_gradient
from tests.laws import nmse


def random_complex(rng, *shape, dtype=torch.complex128) -> torch.Tensor:
    return torch.randn(*shape, dtype=dtype, generator=rng)


def normalised_maps(rng, *shape, dtype=torch.complex128) -> torch.Tensor:
    """Maps `(b, set, coil, y, x)` with Σ|S|² = 1."""
    csm = random_complex(rng, *shape, dtype=dtype)
    return csm / torch.linalg.vector_norm(csm, dim=(-4, -3), keepdim=True)


@pytest.fixture
def system(rng) -> tuple:
    """Two scans of 5 × 4 with other masks and λ each: operator, Aᴴy, z, λ in double precision."""
    operator = Sense(normalised_maps(rng, 2, 1, 3, 5, 4), torch.rand(2, 5, 4, generator=rng) > 0.4)
    adjoint, denoised = random_complex(rng, 2, 1, 5, 4), random_complex(rng, 2, 1, 5, 4)
    weight = torch.tensor([0.1, 0.4], dtype=torch.float64).reshape(2, 1, 1, 1)
    return operator, *(tensor.requires_grad_() for tensor in (adjoint, denoised, weight))


def test_backward_without_the_steps_is_that_through_the_steps(system, rng):
    """At a converged solution one more solve gives the gradients of 30 remembered steps (20 unknowns, double)."""
    operator, adjoint, denoised, weight = system
    towards = random_complex(rng, *adjoint.shape)
    implicit = agree(operator, adjoint, denoised, weight, by_conjugate_gradient(operator, 30))
    remembered = conjugate_gradient(
        lambda x: operator.normal(x) + weight * x, adjoint + weight * denoised, 30, dims=DIMS
    )
    torch.testing.assert_close(implicit, remembered, rtol=1e-9, atol=1e-9)
    gradients = [torch.autograd.grad(x, system[1:], towards) for x in (implicit, remembered)]
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-7, atol=1e-7)


def test_gradients_are_those_of_finite_differences(system):
    """Of Aᴴy, z and λ, in double precision; an oracle that knows nothing of eq. 18."""
    operator, *inputs = system
    solve = by_conjugate_gradient(operator, 30)
    assert torch.autograd.gradcheck(lambda *x: agree(operator, *x, solve), inputs)


def test_memory_does_not_grow_with_iterations(system):
    """What is kept for the backward pass is the same for 2 and for 20 steps; through the steps it is not."""

    def kept(n_iterations: int, *, through: bool) -> int:
        operator, adjoint, denoised, weight = system
        sizes = []
        with saved_tensors_hooks(lambda x: sizes.append(x.nbytes) or x, lambda x: x):
            solve = by_conjugate_gradient(operator, n_iterations)
            solve(adjoint, weight) if through else agree(operator, adjoint, denoised, weight, solve)
        return sum(sizes)

    assert kept(2, through=False) == kept(20, through=False) > 0
    assert kept(20, through=True) > 5 * kept(2, through=True)


@pytest.mark.parametrize("shape", [(24, 16), (15, 17)])
@pytest.mark.parametrize("n_sets", [1, 2])
def test_decoupled_solve_is_converged_conjugate_gradient(shape, n_sets, rng):
    """Two roads to (AᴴA + λ)⁻¹b, any λ on one decomposition: 2e-6, single precision divided by the least λ."""
    csm = normalised_maps(rng, 2, n_sets, 4, *shape, dtype=torch.complex64)
    mask = torch.rand(2, shape[0], 1, generator=rng) > 0.5
    b = random_complex(rng, 2, n_sets, *shape, dtype=torch.complex64)
    exact = DecoupledSense(csm, mask)
    for weights in ([0.1, 0.3], [0.3, 1.0]):
        weight = torch.tensor(weights).reshape(2, 1, 1, 1)
        converged = by_conjugate_gradient(Sense(csm, mask), 150)(b, weight)
        assert nmse(exact.solve(b, weight), converged) < 2e-6**2


def test_decoupled_solve_needs_no_more_memory_than_its_chunk(rng):
    """Columns are independent: one at a time gives what all at once give (double precision)."""
    csm, mask = normalised_maps(rng, 1, 1, 3, 6, 5), torch.rand(1, 6, 1, generator=rng) > 0.5
    b, weight = random_complex(rng, 1, 1, 6, 5), torch.full((1, 1, 1, 1), 0.1, dtype=torch.float64)
    one, all_ = (DecoupledSense(csm, mask, chunk=chunk).solve(b, weight) for chunk in (1, 5))
    torch.testing.assert_close(one, all_, rtol=1e-9, atol=1e-9)


def test_decoupled_solve_is_differentiable(rng):
    """In b and λ, by finite differences in double precision, both directly and through the consistency layer."""
    csm, mask = normalised_maps(rng, 1, 1, 3, 5, 4), torch.rand(1, 5, 1, generator=rng) > 0.4
    operator, solve = Sense(csm, mask), DecoupledSense(csm, mask).solve
    adjoint, denoised = (random_complex(rng, 1, 1, 5, 4).requires_grad_() for _ in range(2))
    weight = torch.full((1, 1, 1, 1), 0.3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(solve, (adjoint, weight))
    assert torch.autograd.gradcheck(lambda *x: agree(operator, *x, solve), (adjoint, denoised, weight))


def test_decoupled_solve_refuses_single_samples(rng):
    """A 2-D mask couples the columns; the sentence names its width."""
    with pytest.raises(ValueError, match="8 samples a line, a mask of whole lines"):
        DecoupledSense(normalised_maps(rng, 1, 1, 3, 6, 8), torch.ones(1, 6, 8, dtype=torch.bool))


@pytest.mark.parametrize("last", [1, 9])
def test_one_set_of_maps_serves_many_masks(last, rng):
    """A dynamic scan: masks (time, ky, kx) on maps without time; AᴴA is Aᴴ after A (double precision)."""
    operator = Sense(normalised_maps(rng, 1, 3, 7, 9), torch.rand(4, 7, last, generator=rng) > 0.5)
    image = random_complex(rng, 1, 7, 9)
    torch.testing.assert_close(operator.normal(image), operator.adjoint(operator.forward(image)))
