"""g-factor maps: against closed forms, against each other, and against noise itself."""

from functools import partial

import pytest
import torch

from kband_core.grappa import GrappaKernel, calibrate_grappa
from kband_core.phantom import coil_kspace, head_phantom, loop_coils
from kband_core.raki.gfactor import gfactor_map, gfactor_of, real_combination, unturned_pixels
from kband_core.raki.gfactor_checks import autodiff_variance, monte_carlo_variance
from kband_core.raki.gfactor_lines import as_network
from kband_core.raki.image_space import image_space_weights
from kband_core.raki.network import RakiNetwork
from tests.core.test_gfactor_gram import ACCELERATION, COILS, LINES, SAMPLES, covariance_of, problem, sampling
from tests.core.test_raki_image_space import complex_normal, network


def by_backward_passes(filler, kspace, lines, *, combination=None, covariance=None, linearisation="frozen"):
    """The same map, pixel by pixel."""
    combination = real_combination(filler, kspace, lines, combination)
    variance = autodiff_variance(filler, kspace, lines, combination, covariance=covariance, linearisation=linearisation)
    return gfactor_of(variance, combination, ACCELERATION, covariance=covariance)


def by_replicas(filler, kspace, lines, *, rng, covariance=None):
    """The same map from 1000 noisy scans through the network or kernel as it is; so little noise that it stays first
    order."""
    combination = real_combination(filler, kspace, lines)
    problem = filler, kspace, lines, combination
    variance = monte_carlo_variance(*problem, covariance=covariance, noise_scale=1e-3, rng=rng)
    return gfactor_of(variance, combination, filler.acceleration, covariance=covariance)


@pytest.mark.parametrize("combined", [False, True])
def test_fast_and_slow_maps_are_the_same(combined, rng):
    """Where activations are linear in complex numbers both roads are exact: double precision, weights given or not."""
    raki, kspace, lines, combination = problem("acs re-inserted", rng)
    options = {"covariance": covariance_of(COILS, rng), "combination": combination if combined else None}
    fast, slow = (make(raki, kspace, lines, **options) for make in (gfactor_map, by_backward_passes))
    torch.testing.assert_close(fast, slow)


def test_noise_that_does_not_turn_is_exact(rng):
    """Where 2r ≡ 0 on the lines of the grid, real and imaginary noise differ: there the map is the backward pass.

    Everywhere else the map has the mean of the two, from which the real part departs by one over the root of the
    number of acquired samples: 480 of them, 5 % at most.
    """
    raki = network(rng, slope=0.0)
    kspace = complex_normal(COILS, 60, 24, rng=rng)
    lines = sampling(60, ACCELERATION)
    both = (gfactor_map, by_backward_passes)
    fast, slow = (make(raki, kspace, lines, linearisation="widely_linear") for make in both)
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
    lines = sampling(48, 2)
    kspace = complex_normal(COILS, 48, 40, rng=rng).to(torch.complex64) * lines.mask
    covariance = covariance_of(COILS, rng)
    foretold = gfactor_map(raki, kspace, lines, covariance=covariance, linearisation="widely_linear")
    seen = by_replicas(raki, kspace, lines, covariance=covariance, rng=rng)
    error = seen / foretold - 1
    assert error.std() < 0.024
    assert error.mean().abs() < 0.003


def test_network_of_a_grappa_kernel_has_the_closed_form(rng):
    """One layer as GRAPPA's, around the edges too: g = ‖pᵀŴ(r)‖/(R‖p‖), Ŵ with the measured line itself."""
    raki = as_network(GrappaKernel(complex_normal(ACCELERATION - 1, COILS, COILS, 2, 5, rng=rng)))
    lines = sampling(LINES, ACCELERATION)
    kspace, combination = complex_normal(2, COILS, LINES, SAMPLES, rng=rng)
    (weights,) = image_space_weights(raki, (LINES, SAMPLES))
    row = combination + torch.einsum("jyx,jiyx->iyx", combination, weights)
    expected = row.norm(dim=0) / (ACCELERATION * combination.norm(dim=0))
    torch.testing.assert_close(gfactor_map(raki, kspace, lines, combination=combination), expected)


@pytest.mark.parametrize("linearisation", ["frozen", "widely_linear"])
def test_linear_network_has_grappas_closed_form(linearisation, rng):
    """Slope 1: g = ‖pᵀŴ(r)‖_Σ/(R‖p‖_Σ), Ŵ the product of all layers and the measured line itself (Breuer 2009)."""
    raki, kspace, lines, combination = problem("one class of lines", rng, slope=1.0)
    covariance = covariance_of(COILS, rng)
    first, second, last = image_space_weights(raki, kspace.shape[-2:])
    whole = torch.einsum("jbyx,bayx,aiyx->jiyx", last, second, first) + torch.eye(COILS)[..., None, None]

    def size(weights):
        return torch.einsum("iyx,ij,jyx->yx", weights, covariance, weights.conj()).real.sqrt()

    row = torch.einsum("jyx,jiyx->iyx", combination, whole)
    expected = size(row) / (ACCELERATION * size(combination))
    options = {"combination": combination, "covariance": covariance, "linearisation": linearisation}
    torch.testing.assert_close(gfactor_map(raki, kspace, lines, **options), expected)


def test_grappa_map_foretells_noise_of_apply_grappa():
    """1000 replicas of GRAPPA on a head: 2.2 % scatter; 1 % more as samples beyond the edge are zero, not wrapped."""
    rng = torch.Generator().manual_seed(0)
    kspace = coil_kspace(head_phantom(), loop_coils(6), (64, 64), oversampling=1)
    lines = sampling(64, ACCELERATION, acs=(22, 42))
    kernel = calibrate_grappa(kspace[:, 22:42], ACCELERATION)
    foretold = gfactor_map(kernel, kspace, lines)
    seen = by_replicas(kernel, kspace, lines, rng=rng)
    error = seen / foretold - 1
    assert error.std() < 0.025
    assert error.mean().abs() < 0.01


def test_zeros_for_missing_lines_have_gfactor_one_over_r(rng):
    """Nothing but the measured lines: their noise is 1/R of a full scan's, so √(1/R)/√R."""
    kernel = GrappaKernel(torch.zeros(3, COILS, COILS, 2, 5, dtype=torch.complex128))
    kspace = complex_normal(COILS, 16, SAMPLES, rng=rng)
    options = {"combination": complex_normal(COILS, 16, SAMPLES, rng=rng), "covariance": covariance_of(COILS, rng)}
    gfactor = gfactor_map(kernel, kspace, sampling(16, 4), **options)
    torch.testing.assert_close(gfactor, torch.full_like(gfactor, 1 / 4))


def test_receiver_gain_does_not_matter(rng):
    """f is 1-homogeneous: masks see signs only, so the map is the same to the last bit for a power of two."""
    raki, kspace, lines, _ = problem("skip", rng)
    for linearisation in ("frozen", "widely_linear"):
        maps = [gfactor_map(raki, kspace * gain, lines, linearisation=linearisation) for gain in (1, 2**-40)]
        assert torch.equal(*maps)


def test_slices_do_not_mix(rng):
    """Two slices with networks of their own, or one k-space under two networks: each as if alone."""
    raki = network(rng, skip=True, slices=(2,))
    alone = [RakiNetwork(tuple(layer[n] for layer in raki.layers), 0.5, ACCELERATION, raki.skip[n]) for n in range(2)]
    lines = sampling(LINES, ACCELERATION, acs=(5, 9))
    kspace = complex_normal(2, COILS, LINES, SAMPLES, rng=rng)
    for make in (gfactor_map, partial(gfactor_map, linearisation="widely_linear"), by_backward_passes):
        together = make(raki, kspace, lines)
        expected = [make(alone[n], kspace[n], lines) for n in range(2)]
        torch.testing.assert_close(together, torch.stack(expected))
        shared = make(raki, kspace[0], lines)
        torch.testing.assert_close(shared[1], make(alone[1], kspace[0], lines))
        same = make(alone[0], kspace, lines)
        torch.testing.assert_close(same[0], together[0])


def test_empty_pixels_have_no_gfactor(rng):
    """No weights, no noise, no ratio of the two."""
    raki, kspace, lines, combination = problem("one class of lines", rng)
    combination[:, 3] = 0
    gfactor = gfactor_map(raki, kspace, lines, combination=combination, linearisation="widely_linear")
    assert (gfactor[3] == 0).all()
    assert (gfactor[4] > 0).all()
    assert (gfactor_map(raki, torch.zeros_like(kspace), lines) == 0).all()


def test_impossible_input_is_refused(rng):
    """Each refusal names what is wrong in one sentence."""
    raki, kspace, lines, _ = problem("one class of lines", rng)
    doubled = torch.ones(COILS, COILS, dtype=torch.complex128)
    with pytest.raises(ValueError, match="noise covariance of 3 coils is singular: coil 1 has no noise of its own"):
        gfactor_map(raki, kspace, lines, covariance=doubled)
    with pytest.raises(ValueError, match=r"noise covariance has shape \(2, 2\), but kspace has 3 coils"):
        gfactor_map(raki, kspace, lines, covariance=torch.eye(2))
    with pytest.raises(ValueError, match="kspace has 2 coils, but the weights are for 3"):
        gfactor_map(raki, kspace[:2], lines)
    wide = complex_normal(4, 6, 1, 3, rng=rng)
    with pytest.raises(ValueError, match="layer 2 has 1 × 3 taps, 1 × 1 needed"):
        gfactor_map(RakiNetwork((raki.layers[0], wide, raki.layers[2]), 0.5, ACCELERATION), kspace, lines)
