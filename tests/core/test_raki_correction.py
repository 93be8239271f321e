"""RAKI with balanced windows corrects GRAPPA's kernel: it helps, or it keeps out of the way."""

import pytest
import torch

from kband_core.fourier import to_image, to_kspace
from kband_core.grappa import apply_grappa, calibrate_grappa
from kband_core.patterns import equispaced_lines
from kband_core.raki.closed_form import scale_last, solve_last_layer, window_columns
from kband_core.raki.fit import fit_raki, refit_raki
from kband_core.raki.network import apply_raki
from tests.core.noisy_head import SIGMA, scan
from tests.core.raki_scans import gaussian, seeded
from tests.laws import nmse

BALANCED = {"windows": "balanced", "regularisation": 1e-2}


@pytest.fixture(scope="module")
def noisy():
    """A head with noise, what R=4 leaves of it, the sampling, and its ACS."""
    kspace = scan(8, SIGMA, seeded())
    sampling = equispaced_lines(96, 4, acs_lines=24)
    return kspace, kspace * sampling.mask, sampling, kspace[:, 36:60]


def test_training_cut_short_is_not_thrown_away(noisy):
    """The last layer is solved behind what one step has made, and beats GRAPPA with the same ridge: features help."""
    kspace, sampled, sampling, acs = noisy
    network = fit_raki(acs, 4, rng=seeded(), time_budget=1e-6, **BALANCED)
    assert network.cut_short == (1, 60)
    assert refit_raki(network, acs, **BALANCED).cut_short == (1, 60), "its hidden layers are those"
    assert fit_raki(acs, 4, rng=seeded(), hidden=(4, 3), n_epochs=2, **BALANCED).cut_short is None
    kernel = calibrate_grappa(acs, 4, regularisation=1e-2)
    assert nmse(apply_raki(network, sampled, sampling), kspace) < nmse(apply_grappa(kernel, sampled, sampling), kspace)


def test_the_network_does_not_make_up_lines_of_strong_signal():
    """Just outside the ACS, near kx = 0, lines are strong and unlike calibration lines: there stripes came from. The
    error is below GRAPPA's, where a network as strong as the linear path has more than 1.5 times as much."""
    kspace, sampling = scan(8, SIGMA / 5, seeded()), equispaced_lines(96, 3, acs_lines=24)
    sampled, acs = kspace * sampling.mask, kspace[:, 36:60]
    energy = kspace.abs().square().sum(0) * ~sampling.mask
    strong = energy >= energy.flatten().topk(100).values[-1]

    def missed(filled):
        return float(((filled - kspace).abs().square().sum(0) * strong).sum())

    by_grappa = missed(apply_grappa(calibrate_grappa(acs, 3, regularisation=1e-2), sampled, sampling))
    network = fit_raki(acs, 3, rng=seeded(), **BALANCED)
    assert missed(apply_raki(network, sampled, sampling)) < by_grappa
    loud = scale_last(network.layers[:-1], torch.tensor(10.0))
    network = solve_last_layer(acs, 3, loud, 5, slope=0.5, **BALANCED)
    assert missed(apply_raki(network, sampled, sampling)) > 1.5 * by_grappa


def test_tags_are_kept():
    """Tags 4 pixels wide are a strong line twelve from the centre, at the border of the ACS: less is missed than by
    GRAPPA, where a network as strong as the linear path misses more."""
    tags = (torch.sin(torch.pi * (torch.arange(96) + 0.5) / 4) > 0).float()
    kspace = to_kspace(to_image(scan(8, SIGMA / 5, seeded())) * tags[:, None])
    sampling, acs = equispaced_lines(96, 3, acs_lines=24), kspace[:, 36:60]
    sampled = kspace * sampling.mask
    by_grappa = nmse(apply_grappa(calibrate_grappa(acs, 3, regularisation=1e-2), sampled, sampling), kspace)
    network = fit_raki(acs, 3, rng=seeded(), **BALANCED)
    assert nmse(apply_raki(network, sampled, sampling), kspace) < 0.9 * by_grappa
    loud = scale_last(network.layers[:-1], torch.tensor(10.0))
    network = solve_last_layer(acs, 3, loud, 5, slope=0.5, **BALANCED)
    assert nmse(apply_raki(network, sampled, sampling), kspace) > 1.1 * by_grappa


def test_a_network_that_outer_calibration_lines_do_not_need_becomes_faint(rng):
    """Of lines that a linear kernel restores, features would learn the noise; so of too few lines to judge them by."""
    lines = gaussian(rng, 26, 12)
    acs = torch.stack([lines[coil : coil + 24] for coil in range(3)]) + 0.3 * gaussian(rng, 3, 24, 12)
    share = {}
    for n_lines in (24, 9):
        network = fit_raki(acs[:, :n_lines], 3, rng=seeded(), hidden=(64, 32), **BALANCED)
        columns = window_columns(acs[:, :n_lines], 3, network.layers[:-1], 5, slope=0.5, windows="balanced")
        share[n_lines] = (columns.features.abs().square().mean() / columns.linear.abs().square().mean()).item()
    assert share[9] == pytest.approx(1e-3, rel=1e-3)
    assert share[24] == pytest.approx(1e-3, rel=1e-3)
