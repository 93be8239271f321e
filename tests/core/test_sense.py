"""The SENSE operator, its solver, coil combination and compression."""

import pytest
import torch

from kband_core.coils import combine, compress, compression_matrix, merge_sets, root_sum_of_squares
from kband_core.operators import encoding_operator, predicted_kspace
from kband_core.patterns import equispaced_lines
from kband_core.phantom import coil_kspace, head_phantom, loop_coils
from kband_core.reconstruct import check_image, sense, zero_filled
from kband_core.sampling import Grid
from kband_core.solvers import conjugate_gradient, solve_normal
from tests.laws import check_adjoint, nmse


def random_complex(rng, *shape) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.complex64, generator=rng)


@pytest.mark.parametrize("shape", [(6, 8), (7, 9)])
@pytest.mark.parametrize("n_sets", [1, 2])
@pytest.mark.parametrize("whole_lines", [True, False])
def test_sense_adjoint(shape, n_sets, whole_lines, rng):
    """<A x, y> = <x, Aᴴ y>: without it conjugate gradient does not converge."""
    mask = torch.rand(2, shape[0], 1 if whole_lines else shape[1], generator=rng) > 0.5
    operator = encoding_operator(Grid(mask), random_complex(rng, 2, n_sets, 3, *shape))
    check_adjoint(operator, (2, n_sets, *shape), rng)


@pytest.mark.parametrize("shape", [(6, 8), (7, 9)])
@pytest.mark.parametrize("n_sets", [1, 2])
@pytest.mark.parametrize("whole_lines", [True, False])
def test_normal_is_adjoint_of_forward(shape, n_sets, whole_lines, rng):
    """The shift-free short cut of AᴴA equals Aᴴ after A, odd and even (single precision)."""
    mask = torch.rand(shape[0], 1 if whole_lines else shape[1], generator=rng) > 0.5
    operator = encoding_operator(Grid(mask), random_complex(rng, n_sets, 3, *shape))
    image = random_complex(rng, n_sets, *shape)
    torch.testing.assert_close(operator.normal(image), operator.adjoint(operator.forward(image)))


def test_sense_refuses_maps_of_another_size(rng):
    """Both lengths are named."""
    with pytest.raises(ValueError, match="mask has 7 along ky, but csm has 6"):
        encoding_operator(Grid(torch.ones(7, 8, dtype=torch.bool)), random_complex(rng, 1, 3, 6, 8))


def test_operator_keeps_what_was_measured(rng):
    """A is F·S where a sample was measured, and zero elsewhere."""
    csm, image = random_complex(rng, 2, 3, 6, 8), random_complex(rng, 2, 6, 8)
    mask = torch.rand(6, 8, generator=rng) > 0.5
    measured = encoding_operator(Grid(mask), csm).forward(image)
    assert torch.equal(measured[:, mask], predicted_kspace(image, csm)[:, mask])
    assert not measured[:, ~mask].any()


def test_conjugate_gradient_solves_each_system_of_a_batch(rng):
    """N iterations solve N unknowns exactly; a converged system stays where it is (double precision)."""
    root = torch.randn(4, 5, 5, dtype=torch.complex128, generator=rng)
    matrix = root @ root.mH + torch.eye(5)
    matrix[0] = torch.eye(5)  # converges in one iteration
    b = torch.randn(4, 5, dtype=torch.complex128, generator=rng)
    x = conjugate_gradient(lambda v: (matrix @ v.unsqueeze(-1)).squeeze(-1), b, 12, dims=(-1,))
    torch.testing.assert_close(x, torch.linalg.solve(matrix, b))


@pytest.mark.parametrize("n_sets", [1, 2])
def test_columns_of_whole_lines_are_solved_apart(n_sets, rng):
    """To the same image as all at once, each plane with its λ; a column that nothing is seen of stays zero."""
    mask = torch.rand(2, 12, 1, generator=rng) > 0.3
    csm = random_complex(rng, 2, n_sets, 5, 12, 7) / 5
    csm[..., 3] = 0
    image, weight = random_complex(rng, 2, n_sets, 12, 7), torch.tensor([0.1, 0.3])[:, None, None, None]
    of_lines, of_samples = (encoding_operator(Grid(each), csm) for each in (mask, mask.expand(2, 12, 7)))
    b = of_lines.normal(image)
    solved = solve_normal(of_lines, b, weight, 60)
    torch.testing.assert_close(solved, solve_normal(of_samples, b, weight, 200), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(of_lines.normal(solved) + weight * solved, b, rtol=1e-3, atol=1e-4)
    assert not solved[..., 3].any()


def test_conjugate_gradient_does_not_diverge_after_convergence(rng):
    """Hundreds of iterations after single precision is exhausted change nothing."""
    mask = torch.rand(32, 1, generator=rng) > 0.5
    operator = encoding_operator(Grid(mask), random_complex(rng, 1, 6, 32, 24) / 6)
    image = random_complex(rng, 1, 32, 24)
    b = operator.normal(image) + 0.01 * image
    short, long = (conjugate_gradient(lambda v: operator.normal(v) + 0.01 * v, b, n) for n in (100, 2000))
    torch.testing.assert_close(long, short, rtol=1e-3, atol=1e-3)


def test_conjugate_gradient_of_zero_is_zero():
    """Nothing acquired, nothing reconstructed, and no NaN."""
    b = torch.zeros(1, 4, 4, dtype=torch.complex64)
    assert torch.equal(conjugate_gradient(lambda v: 0 * v, b, 5), b)


def test_conjugate_gradient_is_differentiable(rng):
    """d(A⁻¹b)/db is A⁻¹: the gradient of a sum of the solution, by autograd and by the inverse."""
    root = torch.randn(4, 4, dtype=torch.float64, generator=rng)
    matrix = root @ root.T + torch.eye(4, dtype=torch.float64)
    b = torch.randn(4, dtype=torch.float64, generator=rng, requires_grad=True)
    conjugate_gradient(lambda v: matrix @ v, b, 4, dims=(-1,)).sum().backward()
    torch.testing.assert_close(b.grad, torch.linalg.inv(matrix).sum(0), rtol=1e-6, atol=1e-8)


def test_sense_undoes_folding():
    """R=2 with the true maps and no noise: only the regularisation's bias is left."""
    shape, coils = (64, 64), loop_coils(8)
    kspace, maps = coil_kspace(head_phantom(), coils, shape, oversampling=1), coils.maps(shape)
    csm = (maps / root_sum_of_squares(maps)).unsqueeze(0)
    sampling = equispaced_lines(64, 2, acs_lines=8)
    full = zero_filled(kspace, csm)
    image = sense(kspace * sampling.mask, sampling, csm, regularisation=1e-4, n_iterations=30)
    assert nmse(image, full) < 1e-3
    assert nmse(zero_filled(kspace * sampling.mask, csm), full) > 0.02


def test_combination_of_whitened_coils_is_exact(rng):
    """Σ conj(S) S x = x where Σ|S|² = 1."""
    csm = random_complex(rng, 1, 5, 6, 7)
    csm = csm / torch.linalg.vector_norm(csm, dim=-3, keepdim=True)
    image = random_complex(rng, 6, 7)
    torch.testing.assert_close(combine(csm[0] * image, csm)[0], image)


def test_merged_sets_do_not_cancel():
    """Two anatomies of opposite sign on one pixel: magnitude √2, not zero."""
    image = torch.tensor([1.0 + 0j, -1.0 + 0j]).reshape(2, 1, 1)
    torch.testing.assert_close(merge_sets(image).abs(), torch.full((1, 1), 2**0.5))


def test_compression_keeps_the_signal_of_dependent_coils(rng):
    """Six coils that are mixtures of three: three virtual coils hold all the energy (single precision)."""
    kspace = torch.einsum("cv,bvyx->bcyx", random_complex(rng, 6, 3), random_complex(rng, 2, 3, 8, 9))
    compressed = compress(kspace, compression_matrix(kspace, 3))
    torch.testing.assert_close(compressed.flatten(1).norm(dim=1), kspace.flatten(1).norm(dim=1))


def test_compression_matrix_has_orthonormal_rows(rng):
    """Whitened noise stays white."""
    matrix = compression_matrix(random_complex(rng, 2, 6, 8, 9), 4)
    torch.testing.assert_close(matrix @ matrix.mH, torch.eye(4, dtype=torch.complex64).expand(2, 4, 4))


def test_virtual_coils_have_a_phase_of_their_own(rng):
    """Whatever phase a library gives an eigenvector: the largest share of each is real and positive."""
    matrix = compression_matrix(random_complex(rng, 2, 6, 8, 9), 4)
    largest = matrix.gather(-1, matrix.abs().argmax(-1, keepdim=True))
    torch.testing.assert_close(largest, largest.abs().to(largest.dtype))


def test_compression_to_more_coils_is_refused(rng):
    """Asked for and possible are named."""
    with pytest.raises(ValueError, match="9 virtual coils asked for, 1 to 6 possible"):
        compression_matrix(random_complex(rng, 6, 8, 9), 9)


@pytest.mark.parametrize(("value", "sentence"), [(float("nan"), "not finite"), (0.0, "zero everywhere")])
def test_image_that_nobody_may_be_shown(value, sentence):
    """NaN and all-zero images are failures, not images."""
    with pytest.raises(ValueError, match=sentence):
        check_image(torch.full((4, 4), value, dtype=torch.complex64))
