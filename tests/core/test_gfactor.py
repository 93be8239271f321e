"""g-factor maps: the fast form against the whole Jacobian, against backward passes, and against noise itself."""

import pytest
import torch
from torch.autograd.functional import jacobian

from kband_core.fourier import to_image
from kband_core.grappa import GrappaKernel, apply_grappa
from kband_core.raki.gfactor import gfactor_map, unturned_pixels
from kband_core.raki.gfactor_checks import autodiff_variance
from kband_core.raki.gfactor_gram import noise_matrix
from kband_core.raki.image_space import freeze, image_space_weights
from kband_core.raki.network import RakiNetwork, interpolate
from tests.core.test_raki_image_space import complex_normal, network

COILS, LINES, SAMPLES, ACCELERATION = 3, 15, 9, 3


def covariance_of(n_coils, rng):
    mixing = complex_normal(n_coils, n_coils, rng=rng)
    return mixing @ mixing.mH + torch.eye(n_coils)


def sampling(n_lines, acceleration, *, offset=0, acs=(0, 0)):
    lines = torch.arange(n_lines)
    return (lines % acceleration == offset) | ((lines >= acs[0]) & (lines < acs[1]))


def whole_jacobian(fill, kspace, mask, combination):
    """J₁, J₂ `(pixel, coil, sample)` of the combined image by the measured samples n: e = J₁n + J₂n*."""
    measured = kspace[:, mask]

    def image(parts):
        lines = kspace.index_copy(-2, mask.nonzero().flatten(), torch.view_as_complex(parts))
        return torch.view_as_real((combination * to_image(fill(lines, mask))).sum(-3))

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
    "measured lines replaced": {"targets": "all", "n_lines": 16, "skip": True},
    "three source lines": {"first": (3, 4), "acs": (5, 9)},
    "three source lines, one hidden layer": {"first": (3, 4), "widths": (6,)},
    "even readout": {"samples": 8},
    "fine grid smaller than the image": {"n_lines": 30, "samples": 20, "acceleration": 2, "widths": (3, 2)},
}


def problem(case, rng, slope=0.5):
    case = dict(CASES[case])
    n_lines, samples = case.pop("n_lines", LINES), case.pop("samples", SAMPLES)
    acceleration = case.pop("acceleration", ACCELERATION)
    mask = sampling(n_lines, acceleration, offset=case.pop("offset", 0), acs=case.pop("acs", (0, 0)))
    kspace = complex_normal(COILS, n_lines, samples, rng=rng) * mask[:, None]
    raki = network(rng, **{"widths": (6, 4)} | case, acceleration=acceleration, slope=slope)
    return raki, kspace, mask, complex_normal(COILS, n_lines, samples, rng=rng)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("linearisation", ["frozen", "widely_linear"])
def test_gram_equals_whole_jacobian(case, linearisation, rng):
    """J Σ Jᴴ without J: double precision rounding, with and without noise correlation between coils."""
    raki, kspace, mask, combination = problem(case, rng)
    covariance = covariance_of(COILS, rng)

    def fill(lines, mask):
        start = int(mask.nonzero()[0]) % raki.acceleration
        if linearisation == "widely_linear":
            return interpolate(raki, lines, mask)
        grid = kspace[:, start :: raki.acceleration]
        missing = -(-len(mask) // raki.acceleration) - grid.shape[-2]
        return interpolate(freeze(raki, torch.nn.functional.pad(grid, (0, 0, 0, missing))), lines, mask)

    jacobians = whole_jacobian(fill, kspace, mask, combination)
    for sigma in (covariance, None):
        expected, _ = noise_powers(
            jacobians, torch.eye(COILS).to(kspace) if sigma is None else sigma, kspace.shape[-2:]
        )
        matrix = noise_matrix(raki, kspace, mask, covariance=sigma, linearisation=linearisation)
        torch.testing.assert_close(matrix.variance(combination), expected)


@pytest.mark.parametrize("case", ["acs re-inserted", "skip", "even readout"])
@pytest.mark.parametrize("linearisation", ["frozen", "widely_linear"])
def test_backward_passes_equal_whole_jacobian(case, linearisation, rng):
    """A backward pass gives one row of the Jacobian: twice the power along the real axis, double precision."""
    raki, kspace, mask, combination = problem(case, rng)
    covariance = covariance_of(COILS, rng)
    frozen = freeze(raki, kspace[:, ::ACCELERATION])
    fill = {"frozen": frozen, "widely_linear": raki}[linearisation]
    jacobians = whole_jacobian(lambda lines, mask: interpolate(fill, lines, mask), kspace, mask, combination)
    _, expected = noise_powers(jacobians, covariance, kspace.shape[-2:])
    options = {"covariance": covariance, "linearisation": linearisation}
    torch.testing.assert_close(autodiff_variance(raki, kspace, mask, combination, **options), expected)
    some = torch.tensor([[2, 3], [7, 4]])
    chosen = autodiff_variance(raki, kspace, mask, combination, pixels=some, **options)
    torch.testing.assert_close(chosen, expected[some[:, 0], some[:, 1]])


@pytest.mark.parametrize("combined", [False, True])
def test_fast_and_slow_maps_are_the_same(combined, rng):
    """Where activations are linear in complex numbers both roads are exact: double precision, weights given or not."""
    raki, kspace, mask, combination = problem("acs re-inserted", rng)
    options = {"covariance": covariance_of(COILS, rng), "combination": combination if combined else None}
    fast, slow = (gfactor_map(raki, kspace, mask, method=method, **options) for method in ("gram", "autodiff"))
    torch.testing.assert_close(fast, slow)


def test_noise_that_does_not_turn_is_exact(rng):
    """Where 2r ≡ 0 on the lines of the grid, real and imaginary noise differ: there the map is the backward pass.

    Everywhere else the map has the mean of the two, from which the real part departs by one over the root of the
    number of acquired samples: 480 of them, 5 % at most.
    """
    raki, kspace, mask, _ = problem("even readout", rng, slope=0.0)
    raki = RakiNetwork(raki.layers, 0.0, ACCELERATION)
    kspace = complex_normal(COILS, 60, 24, rng=rng)
    mask = sampling(60, ACCELERATION)
    fast, slow = (
        gfactor_map(raki, kspace, mask, method=method, linearisation="widely_linear") for method in ("gram", "autodiff")
    )
    pixels = unturned_pixels((60, 24), ACCELERATION)
    assert pixels.tolist() == [[y, x] for y in range(0, 60, 10) for x in (0, 12)]
    torch.testing.assert_close(fast[pixels[:, 0], pixels[:, 1]], slow[pixels[:, 0], pixels[:, 1]])
    assert (fast / slow - 1).abs().max() < 0.05
    assert (fast / slow - 1).mean().abs() < 1e-3


@pytest.mark.parametrize("slope", [0.0, 0.5])
def test_map_foretells_noise_of_the_real_network(slope):
    """1000 replicas through the network as it is: their own scatter is 1/√2000 = 2.2 % of g, without a bias."""
    rng = torch.Generator().manual_seed(1)
    raki = network(rng, (8, 6), acceleration=2, slope=slope)
    raki = RakiNetwork(tuple(layer.to(torch.complex64) for layer in raki.layers), slope, 2)
    mask = sampling(48, 2)
    kspace = complex_normal(COILS, 48, 40, rng=rng).to(torch.complex64) * mask[:, None]
    covariance = covariance_of(COILS, rng)
    foretold = gfactor_map(raki, kspace, mask, covariance=covariance, linearisation="widely_linear")
    seen = gfactor_map(raki, kspace, mask, covariance=covariance, method="monte_carlo", noise_scale=1e-3, rng=rng)
    error = seen / foretold - 1
    assert error.std() < 0.024
    assert error.mean().abs() < 0.003


@pytest.mark.parametrize("source_lines", [2, 3, 4])
@pytest.mark.parametrize(
    ("n_lines", "offset", "acs", "first"), [(15, 0, (0, 0), 0), (17, 2, (6, 10), 0), (18, 1, (0, 0), 6)]
)
def test_grappa_equals_whole_jacobian(source_lines, n_lines, offset, acs, first, rng):
    """Noise of GRAPPA with nothing beyond the edges, ACS kept, partial Fourier: double precision rounding."""
    kernel = GrappaKernel(complex_normal(ACCELERATION - 1, COILS, COILS, source_lines, 3, rng=rng))
    mask = sampling(n_lines, ACCELERATION, offset=offset, acs=acs)
    mask[:first] = False
    kspace, combination = complex_normal(2, COILS, n_lines, SAMPLES, rng=rng)
    kspace = kspace * mask[:, None]
    covariance = covariance_of(COILS, rng)
    jacobians = whole_jacobian(lambda lines, mask: apply_grappa(kernel, lines, mask), kspace, mask, combination)
    expected, same = noise_powers(jacobians, covariance, kspace.shape[-2:])
    torch.testing.assert_close(same, expected)
    torch.testing.assert_close(
        noise_matrix(kernel, kspace, mask, covariance=covariance).variance(combination), expected
    )


@pytest.mark.parametrize("linearisation", ["frozen", "widely_linear"])
def test_linear_network_has_grappas_closed_form(linearisation, rng):
    """Slope 1: g = ‖pᵀŴ(r)‖_Σ/(R‖p‖_Σ), Ŵ the product of all layers and the measured line itself (Breuer 2009)."""
    raki, kspace, mask, combination = problem("one class of lines", rng, slope=1.0)
    covariance = covariance_of(COILS, rng)
    first, second, last = image_space_weights(raki, kspace.shape[-2:])
    whole = torch.einsum("jbyx,bayx,aiyx->jiyx", last, second, first) + torch.eye(COILS)[..., None, None]

    def size(weights):
        return torch.einsum("iyx,ij,jyx->yx", weights, covariance, weights.conj()).real.sqrt()

    row = torch.einsum("jyx,jiyx->iyx", combination, whole)
    expected = size(row) / (ACCELERATION * size(combination))
    options = {"combination": combination, "covariance": covariance, "linearisation": linearisation}
    torch.testing.assert_close(gfactor_map(raki, kspace, mask, **options), expected)


def test_network_of_a_grappa_kernel_has_its_map(rng):
    """The same weights in both forms differ only at the edges, where one wraps around: 1 of 40 groups, 5 %."""
    weights = complex_normal(ACCELERATION - 1, COILS, COILS, 2, 5, rng=rng)
    raki = RakiNetwork((weights.movedim(0, 1).flatten(0, 1),), 1.0, ACCELERATION)
    kspace = complex_normal(COILS, 120, 12, rng=rng)
    mask = sampling(120, ACCELERATION)
    combination = complex_normal(COILS, 120, 12, rng=rng)
    maps = [gfactor_map(form, kspace, mask, combination=combination) for form in (raki, GrappaKernel(weights))]
    assert (maps[0] / maps[1] - 1).abs().max() < 0.05


def test_zeros_for_missing_lines_have_gfactor_one_over_r(rng):
    """Nothing but the measured lines: their noise is 1/R of a full scan's, so √(1/R)/√R."""
    kernel = GrappaKernel(torch.zeros(3, COILS, COILS, 2, 5, dtype=torch.complex128))
    kspace = complex_normal(COILS, 16, SAMPLES, rng=rng)
    options = {"combination": complex_normal(COILS, 16, SAMPLES, rng=rng), "covariance": covariance_of(COILS, rng)}
    gfactor = gfactor_map(kernel, kspace, sampling(16, 4), **options)
    torch.testing.assert_close(gfactor, torch.full_like(gfactor, 1 / 4))


def test_receiver_gain_does_not_matter(rng):
    """f is 1-homogeneous: masks see signs only, so the map is the same to the last bit for a power of two."""
    raki, kspace, mask, _ = problem("skip", rng)
    for linearisation in ("frozen", "widely_linear"):
        maps = [gfactor_map(raki, kspace * gain, mask, linearisation=linearisation) for gain in (1, 2**-40)]
        assert torch.equal(*maps)


def test_slices_do_not_mix(rng):
    """Two slices with networks of their own, or one k-space under two networks: each as if alone."""
    raki = network(rng, skip=True, slices=(2,))
    alone = [RakiNetwork(tuple(layer[n] for layer in raki.layers), 0.5, ACCELERATION, raki.skip[n]) for n in range(2)]
    mask = sampling(LINES, ACCELERATION, acs=(5, 9))
    kspace = complex_normal(2, COILS, LINES, SAMPLES, rng=rng)
    for options in ({}, {"linearisation": "widely_linear"}, {"method": "autodiff"}):
        together = gfactor_map(raki, kspace, mask, **options)
        expected = [gfactor_map(alone[n], kspace[n], mask, **options) for n in range(2)]
        torch.testing.assert_close(together, torch.stack(expected))
        shared = gfactor_map(raki, kspace[0], mask, **options)
        torch.testing.assert_close(shared[1], gfactor_map(alone[1], kspace[0], mask, **options))
        same = gfactor_map(alone[0], kspace, mask, **options)
        torch.testing.assert_close(same[0], together[0])


def test_noise_matrix_serves_any_combination(rng):
    """V is Hermitian, without negative eigenvalues, and pᴴVp is the variance: double precision."""
    raki, kspace, mask, combination = problem("fine grid smaller than the image", rng)
    matrix = noise_matrix(raki, kspace, mask, linearisation="widely_linear")
    assert matrix.samples.shape[-2:] == (5, 17)
    full = matrix.at_pixels()
    torch.testing.assert_close(full, full.conj().transpose(0, 1))
    assert torch.linalg.eigvalsh(full.permute(2, 3, 0, 1)).min() > 0
    expected = torch.einsum("jyx,jkyx,kyx->yx", combination.conj(), full, combination).real
    torch.testing.assert_close(matrix.variance(combination), expected)


def test_empty_pixels_have_no_gfactor(rng):
    """No weights, no noise, no ratio of the two."""
    raki, kspace, mask, combination = problem("one class of lines", rng)
    combination[:, 3] = 0
    gfactor = gfactor_map(raki, kspace, mask, combination=combination, linearisation="widely_linear")
    assert (gfactor[3] == 0).all()
    assert (gfactor[4] > 0).all()
    assert (gfactor_map(raki, torch.zeros_like(kspace), mask) == 0).all()


def test_impossible_input_is_refused(rng):
    """Each refusal names what is wrong in one sentence."""
    raki, kspace, mask, _ = problem("one class of lines", rng)
    doubled = torch.ones(COILS, COILS, dtype=torch.complex128)
    with pytest.raises(ValueError, match="noise covariance of 3 coils is singular: coil 1 has no noise of its own"):
        gfactor_map(raki, kspace, mask, covariance=doubled)
    with pytest.raises(ValueError, match=r"noise covariance has shape \(2, 2\), but kspace has 3 coils"):
        gfactor_map(raki, kspace, mask, covariance=torch.eye(2))
    with pytest.raises(ValueError, match="kspace has 2 coils, but the weights are for 3"):
        gfactor_map(raki, kspace[:2], mask)
    with pytest.raises(ValueError, match="no random generator for monte_carlo"):
        gfactor_map(raki, kspace, mask, method="monte_carlo")
    wide = complex_normal(4, 6, 1, 3, rng=rng)
    with pytest.raises(ValueError, match="layer 2 has 1 × 3 taps, 1 × 1 needed"):
        gfactor_map(RakiNetwork((raki.layers[0], wide, raki.layers[2]), 0.5, ACCELERATION), kspace, mask)
