"""Fitting RAKI: right derivatives, one slice independent of the next, and clear about what it cannot do."""

from functools import partial

import pytest
import torch

from kband_core.footprint import balancing_weights, calibration_columns, calibration_targets, crop_samples
from kband_core.patterns import equispaced_lines
from kband_core.raki.closed_form import fit_raki_rf, hidden_columns
from kband_core.raki.fit import fit_raki, fit_raki_as_published, refit_raki
from kband_core.raki.network import RakiNetwork, apply_raki
from kband_core.raki.training import TimeBudgetExceeded, _gradients, initial_layers, rise_and_fall, train
from tests.core.raki_scans import check_refusals, gaussian, seeded, two_slices
from tests.laws import nmse

SMALL = {"hidden": (12, 8), "n_epochs": 20}


@pytest.fixture(scope="module")
def head():
    return two_slices()


def shift_kspace(rng, n_lines=36, n_samples=12):
    """K-space of three coils that see the same lines shifted by 0, 1 and 2: each gap is known from one line (SMASH)."""
    lines = gaussian(rng, n_lines, n_samples)
    return torch.stack([lines.roll(-coil, 0) for coil in range(3)])


def test_data_of_a_linear_kernel_are_restored(rng):
    """The linear path beside the network is that kernel, if all windows of the ACS obey it (λ = 1e-9)."""
    kspace = shift_kspace(rng)
    sampling = equispaced_lines(36, 3)
    for network in (
        fit_raki_rf(kspace[:, :24], 3, rng=seeded(), n_features=4, regularisation=1e-9),
        fit_raki(kspace[:, :24], 3, rng=seeded(), hidden=(4, 3), n_epochs=2, regularisation=1e-9),
    ):
        filled = apply_raki(network, kspace * sampling.mask, sampling)
        assert nmse(filled[:, :34], kspace[:, :34]) < 1e-6, "the last gap has the first line behind it"


def test_fits_do_not_need_autograd_of_their_caller(head):
    """A scanner's chain computes without gradients; the fit is the same."""
    acs = head[0, :, 20:44]
    with torch.no_grad():
        without = fit_raki(acs, 3, rng=seeded(), **SMALL)
    for a, b in zip(without.layers, fit_raki(acs, 3, rng=seeded(), **SMALL).layers, strict=True):
        assert torch.equal(a, b)
        assert not b.requires_grad


@pytest.mark.parametrize(("slope", "balanced"), [(0.0, False), (0.5, False), (0.5, True), (1.0, False)])
def test_gradients_are_those_of_the_loss(slope, balanced, rng):
    """Mean |Re error|² + mean |Im error|² of each slice, weighted or not, kernels of one and of several samples."""
    acs = gaussian(rng, 2, 3, 10, 12)
    layers = [gaussian(rng, 2, *s) for s in [(5, 3, 2, 5), (4, 5, 1, 3), (6, 4, 1, 2)]]
    sources = calibration_columns(acs, 3, (2, 5))
    targets = calibration_targets(acs, 3, (2, 5), 2, later=(3, 2))
    leaves = [layer.clone().requires_grad_() for layer in layers]
    predicted = leaves[-1].flatten(-3) @ _features(leaves, sources, slope).flatten(-2)
    error = torch.view_as_real(predicted - targets.flatten(-2))
    weights = balancing_weights(crop_samples(sources, (3, 2))) if balanced else None
    squares = error.square().sum(-1)
    if balanced:
        squares = squares * weights.flatten(-2)
    squares.mean((-2, -1)).sum().backward()
    for leaf, gradient in zip(leaves, _gradients(layers, sources, targets, weights, slope=slope), strict=True):
        assert (leaf.grad - gradient).norm() < 1e-5 * leaf.grad.norm()


def _features(layers, sources, slope):
    return hidden_columns(layers[:-1], sources, layers[-1].shape[-1], slope=slope)


@pytest.mark.parametrize("fit", [fit_raki, fit_raki_as_published])
def test_slices_do_not_mix(head, fit):
    """Two slices fitted together equal each alone with the same seed: one network per slice (rounding, amplified)."""
    acs = head[..., 20:44, :]
    both = fit(acs, 3, rng=seeded(), **SMALL)
    lines = head[:, :, ::3]
    for number in range(2):
        alone = fit(acs[number], 3, rng=seeded(), **SMALL)
        assert nmse(both(lines)[number], alone(lines[number])) < 1e-6


def test_the_same_seed_gives_the_same_network(head):
    """A scan reconstructed again must give the same image."""
    first, again, other = (fit_raki(head[0, :, 20:44], 3, rng=seeded(seed), **SMALL) for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(first.layers, again.layers, strict=True))
    assert not torch.equal(first.layers[0], other.layers[0])


def test_the_unit_of_the_data_does_not_matter(head):
    """Scanners count in arbitrary units: a network fitted in one serves data in another (rounding, amplified)."""
    acs, lines = head[0, :, 20:44], head[0, :, ::3]
    for fit in (
        partial(fit_raki_rf, n_features=32),
        lambda acs, acceleration, *, rng: fit_raki(acs, acceleration, rng=rng, **SMALL),
    ):
        networks = [fit(scale * acs, 3, rng=seeded()) for scale in (1, 1e-6)]
        assert nmse(networks[0](lines), networks[1](lines)) < 1e-6


@pytest.mark.parametrize("fit", [fit_raki, fit_raki_as_published])
def test_training_lowers_the_error(head, fit):
    """A few epochs already leave less than half of the missing lines' energy."""
    kspace, sampling = head[0], equispaced_lines(64, 3)
    network = fit(kspace[:, 20:44], 3, rng=seeded(), hidden=(32, 16), n_epochs=60)
    sampled = kspace * sampling.mask
    assert nmse(apply_raki(network, sampled, sampling), kspace) < 0.5 * nmse(sampled, kspace)


@pytest.mark.parametrize("fit", [fit_raki_rf, fit_raki])
def test_balanced_windows_reach_outer_kspace(fit, head):
    """The strong centre no longer decides alone: the lines outside the ACS come out better."""
    sampling, acs = equispaced_lines(64, 3, acs_lines=24), head[..., 20:44, :]
    sampled = head * sampling.mask
    options = {"n_features": 64} if fit is fit_raki_rf else SMALL
    networks = [fit(acs, 3, rng=seeded(), windows=windows, **options) for windows in ("balanced", "equal")]
    balanced, equal = (nmse(apply_raki(network, sampled, sampling), head) for network in networks)
    assert balanced < equal


def test_calibration_of_the_fewest_lines_is_fitted(head):
    """Three lines at R=2 are one row of windows, which cannot be seen half by half."""
    network = fit_raki(head[..., 31:34, :], 2, rng=seeded(), hidden=(8,), n_epochs=4)
    assert all(torch.view_as_real(layer).isfinite().all() for layer in network.layers)


def test_a_refit_solves_only_the_last_layer(head):
    """The neighbour's hidden layers serve; its last layer and linear path are this slice's own."""
    first, second = head[..., 20:44, :]
    neighbour = fit_raki(first, 3, rng=seeded(), **SMALL)
    network = refit_raki(neighbour, second)
    assert all(torch.equal(a, b) for a, b in zip(network.layers[:-1], neighbour.layers[:-1], strict=True))
    lines, sampling = head[1], equispaced_lines(64, 3)
    errors = [nmse(apply_raki(n, lines * sampling.mask, sampling), lines) for n in (network, neighbour)]
    assert errors[0] < errors[1]
    with pytest.raises(ValueError, match="refit_raki: 3 layers for 8 coils, but the ACS has 7 coils"):
        refit_raki(neighbour, second[:7])
    with pytest.raises(ValueError, match="refit_raki: 1 layer for 8 coils"):
        refit_raki(RakiNetwork((network.skip,), 0.5, 3), second)


def test_rates_rise_and_fall():
    """From a 25th up to the peak and down to nearly nothing."""
    rates = rise_and_fall(1e-2, 30)
    assert len(rates) == 30
    assert rates[0] == pytest.approx(1e-2 / 25)
    assert max(rates) == pytest.approx(1e-2)
    assert rates[-1] < 1e-4


def test_time_budget_is_kept(head):
    """What is published has nothing to show before its last epoch; the sentence says how far it came."""
    acs = head[0, :, 20:44]
    with pytest.raises(TimeBudgetExceeded, match=r"fit_raki: 1 of 20 epochs in 0\.\d+ s, but the budget is 1e-06 s"):
        fit_raki_as_published(acs, 3, rng=seeded(), time_budget=1e-6, **SMALL)
    assert fit_raki_as_published(acs, 3, rng=seeded(), time_budget=60, **SMALL).n_coils == 8


@pytest.mark.parametrize("fit", [fit_raki, fit_raki_as_published, fit_raki_rf])
def test_what_cannot_be_fitted_is_said(fit, rng):
    """Two lines of the grid are four lines of k-space at R=3."""
    check_refusals(fit, 4, rng)


def test_a_dead_coil_stays_dead(head):
    """A coil that gives only zeros does not stop the fit, and none of it is invented."""
    acs = head[0, :, 20:44].clone()
    acs[2] = 0
    for network in (fit_raki(acs, 3, rng=seeded(), **SMALL), fit_raki_rf(acs, 3, rng=seeded(), n_features=16)):
        lines = head[0, :, ::3].clone()
        lines[2] = 0
        predicted = network(lines)
        assert torch.isfinite(torch.view_as_real(predicted)).all()
        assert predicted[2].norm() < 1e-5 * predicted.norm()


def test_a_slice_without_signal_is_said(head):
    """Zeros calibrate nothing."""
    acs = head[..., 20:44, :].clone()
    acs[1] = 0
    with pytest.raises(ValueError, match="1 of 2 slices have a singular normal matrix"):
        fit_raki_rf(acs, 3, rng=seeded(), n_features=16)


def test_training_goes_on_from_given_layers(rng):
    """Two runs of one epoch differ from one of two only by Adam's forgotten moments: both move every layer."""
    acs = gaussian(rng, 3, 12, 12)
    start = initial_layers(acs, 3, rng=rng, hidden=(6, 4))
    after = train(acs, 3, start, slope=0.5, rates=[1e-3])
    for a, b in zip(start, after, strict=True):
        step = torch.view_as_real(a - b).abs()
        assert step.mean() == pytest.approx(1e-3, rel=0.05), "Adam's first step is its rate"
