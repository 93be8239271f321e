"""The noise of a pixel: the fast form and the backward pass against the whole Jacobian."""

from functools import partial

import pytest
import torch
from torch.autograd.functional import jacobian

from kband_core.fourier import interpolate, to_image
from kband_core.grappa import GrappaKernel, apply_grappa
from kband_core.raki.gfactor_checks import autodiff_variance
from kband_core.raki.gfactor_gram import noise_matrix
from kband_core.raki.image_space import freeze
from kband_core.raki.network import apply_raki
from kband_core.sampling import Grid
from tests.core.test_raki_image_space import complex_normal, network

COILS, LINES, SAMPLES, ACCELERATION = 3, 15, 9, 3


def covariance_of(n_coils, rng):
    mixing = complex_normal(n_coils, n_coils, rng=rng)
    return mixing @ mixing.mH + torch.eye(n_coils)


def sampling(n_lines, acceleration, *, offset=0, acs=(0, 0)):
    lines = torch.arange(n_lines)
    return Grid(((lines % acceleration == offset) | ((lines >= acs[0]) & (lines < acs[1])))[:, None])


def whole_jacobian(fill, kspace, lines, combination):
    """J₁, J₂ `(pixel, coil, sample)` of the combined image by the measured samples n: e = J₁n + J₂n*."""
    rows = lines.lines()
    measured = kspace[:, rows]

    def image(parts):
        moved = kspace.index_copy(-2, rows.nonzero().flatten(), torch.view_as_complex(parts))
        return torch.view_as_real((combination * to_image(fill(moved, lines))).sum(-3))

    derivative = jacobian(image, torch.view_as_real(measured).clone(), vectorize=True).movedim(2, -1)
    derivative = derivative.flatten(0, 1)  # (pixel, coil, line, kx, part in, part out)
    by_real, by_imaginary = torch.view_as_complex(derivative.contiguous()).unbind(-1)
    return ((by_real - 1j * by_imaginary) / 2).flatten(2), ((by_real + 1j * by_imaginary) / 2).flatten(2)


def noise_powers(jacobians, covariance, shape):
    """E|e|² and 2·E[(Re e)²] of every pixel, from the whole Jacobian."""
    first, second = jacobians
    circular = torch.einsum("pik,ij,pjk->p", first, covariance, first.conj()).real
    circular = circular + torch.einsum("pik,ij,pjk->p", second, covariance.conj(), second.conj()).real
    interference = 2 * torch.einsum("pik,ij,pjk->p", first, covariance, second).real
    return circular.reshape(shape), (circular + interference).reshape(shape)


CASES = {
    "one class of lines": {},
    "acs re-inserted": {"acs": (5, 11)},
    "padded lines": {"n_lines": 16, "offset": 1},
    "padded to an empty group": {"n_lines": 10, "acceleration": 4, "offset": 3},
    "three hidden layers": {"widths": (5, 4, 3)},
    "one hidden layer": {"widths": (6,), "acs": (5, 9)},
    "skip": {"skip": True, "acs": (6, 10)},
    "one hidden layer and skip": {"widths": (6,), "skip": True},
    "three source lines": {"first": (3, 4), "acs": (5, 9)},
    "three source lines, one hidden layer": {"first": (3, 4), "widths": (6,)},
    "even readout": {"samples": 8},
    "fine grid smaller than the image": {"n_lines": 30, "samples": 20, "acceleration": 2, "widths": (3, 2)},
}


def problem(case, rng, slope=0.5):
    case = dict(CASES[case])
    n_lines, samples = case.pop("n_lines", LINES), case.pop("samples", SAMPLES)
    acceleration = case.pop("acceleration", ACCELERATION)
    lines = sampling(n_lines, acceleration, offset=case.pop("offset", 0), acs=case.pop("acs", (0, 0)))
    kspace = complex_normal(COILS, n_lines, samples, rng=rng) * lines.mask
    raki = network(rng, **{"widths": (6, 4)} | case, acceleration=acceleration, slope=slope)
    return raki, kspace, lines, complex_normal(COILS, n_lines, samples, rng=rng)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("linearisation", ["frozen", "widely_linear"])
def test_gram_equals_whole_jacobian(case, linearisation, rng):
    """J Σ Jᴴ without J: double precision rounding, with and without noise correlation between coils."""
    raki, kspace, lines, combination = problem(case, rng)
    covariance = covariance_of(COILS, rng)

    def fill(moved, lines):
        rows = lines.lines()
        start = int(rows.nonzero()[0]) % raki.acceleration
        if linearisation == "widely_linear":
            return apply_raki(raki, moved, lines)
        grid = kspace[:, start :: raki.acceleration]
        missing = -(-len(rows) // raki.acceleration) - grid.shape[-2]
        return apply_raki(freeze(raki, torch.nn.functional.pad(grid, (0, 0, 0, missing))), moved, lines)

    jacobians = whole_jacobian(fill, kspace, lines, combination)
    for sigma in (covariance, None):
        expected, _ = noise_powers(
            jacobians, torch.eye(COILS).to(kspace) if sigma is None else sigma, kspace.shape[-2:]
        )
        matrix = noise_matrix(raki, kspace, lines, covariance=sigma, linearisation=linearisation)
        torch.testing.assert_close(matrix.variance(combination), expected)


@pytest.mark.parametrize("case", ["acs re-inserted", "skip", "even readout"])
@pytest.mark.parametrize("linearisation", ["frozen", "widely_linear"])
def test_backward_passes_equal_whole_jacobian(case, linearisation, rng):
    """A backward pass gives one row of the Jacobian: twice the power along the real axis, double precision."""
    raki, kspace, lines, combination = problem(case, rng)
    covariance = covariance_of(COILS, rng)
    frozen = freeze(raki, kspace[:, ::ACCELERATION])
    fill = {"frozen": frozen, "widely_linear": raki}[linearisation]
    jacobians = whole_jacobian(partial(apply_raki, fill), kspace, lines, combination)
    _, expected = noise_powers(jacobians, covariance, kspace.shape[-2:])
    options = {"covariance": covariance, "linearisation": linearisation}
    torch.testing.assert_close(autodiff_variance(raki, kspace, lines, combination, **options), expected)
    some = torch.tensor([[2, 3], [7, 4]])
    chosen = autodiff_variance(raki, kspace, lines, combination, pixels=some, **options)
    torch.testing.assert_close(chosen, expected[some[:, 0], some[:, 1]])


@pytest.mark.parametrize("source_lines", [2, 3, 4])
@pytest.mark.parametrize("edges", [(15, 0, (0, 0), 0), (17, 2, (6, 10), 0), (18, 1, (0, 0), 6)])
def test_grappa_equals_whole_jacobian(source_lines, edges, rng):
    """Lines beyond the edges are zero to GRAPPA; ACS kept, partial Fourier: double precision rounding.

    One sample wide, for samples are taken to wrap around, which only a network's do.
    """
    n_lines, offset, acs, first = edges
    kernel = GrappaKernel(complex_normal(ACCELERATION - 1, COILS, COILS, source_lines, 1, rng=rng))
    lines = sampling(n_lines, ACCELERATION, offset=offset, acs=acs).within(torch.arange(n_lines)[:, None] >= first)
    kspace, combination = complex_normal(2, COILS, n_lines, SAMPLES, rng=rng)
    kspace = kspace * lines.mask
    covariance = covariance_of(COILS, rng)
    jacobians = whole_jacobian(partial(apply_grappa, kernel), kspace, lines, combination)
    expected, same = noise_powers(jacobians, covariance, kspace.shape[-2:])
    torch.testing.assert_close(same, expected)
    matrix = noise_matrix(kernel, kspace, lines, covariance=covariance)
    torch.testing.assert_close(matrix.variance(combination), expected)


def test_noise_matrix_serves_any_combination(rng):
    """V is Hermitian, without negative eigenvalues, and pᴴVp is the variance: double precision."""
    raki, kspace, lines, combination = problem("fine grid smaller than the image", rng)
    matrix = noise_matrix(raki, kspace, lines, linearisation="widely_linear")
    assert matrix.samples.shape[-2:] == (5, 17)
    full = interpolate(matrix.samples, kspace.shape[-2:])
    torch.testing.assert_close(full, full.conj().transpose(0, 1))
    assert torch.linalg.eigvalsh(full.permute(2, 3, 0, 1)).min() > 0
    expected = torch.einsum("jyx,jkyx,kyx->yx", combination.conj(), full, combination).real
    torch.testing.assert_close(matrix.variance(combination), expected)
