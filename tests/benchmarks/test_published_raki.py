"""RAKI as others published it, which ours is measured against: trained, and faithful to what was measured."""

import pytest
import torch

from benchmarks.published.iterative_raki import iterative_raki
from benchmarks.published.real_valued_raki import fit_real_raki, fit_rraki
from kband_core.patterns import equispaced_lines
from kband_core.raki.network import apply_raki
from tests.core.raki_scans import check_refusals, seeded, two_slices
from tests.laws import nmse

REAL_VALUED = [fit_real_raki, fit_rraki]


@pytest.fixture(scope="module")
def head():
    return two_slices()


@pytest.mark.parametrize("fit", REAL_VALUED)
def test_what_cannot_be_fitted_is_said(fit, rng):
    """The last layer sees three groups, so that seven lines are needed at R=3."""
    check_refusals(fit, 7, rng)


@pytest.mark.parametrize("fit", REAL_VALUED)
def test_real_valued_networks_are_trained_apart(fit, head):
    """A batch of two slices equals each alone, and the error falls (rounding, amplified by training)."""
    acs, lines = head[..., 20:44, :], head[:, :, ::3]
    both = fit(acs, 3, rng=seeded(), n_steps=30)
    alone = fit(acs[1], 3, rng=seeded(), n_steps=30)
    assert nmse(both.forward(lines)[1], alone.forward(lines[1])) < 1e-6
    sampling = equispaced_lines(64, 3)
    filled = apply_raki(both, head * sampling.mask, sampling)
    assert nmse(filled, head) < 0.7 * nmse(head * sampling.mask, head)


def test_iterative_raki_keeps_what_was_measured(head):
    """Each round puts the measured lines back; the missing ones are filled."""
    kspace, sampling = head[0], equispaced_lines(64, 3, acs_lines=24)
    filled = iterative_raki(
        kspace * sampling.mask, sampling, 3, slice(20, 44), rng=seeded(), hidden=(16, 8), n_rounds=1, n_epochs=(40, 20)
    )
    lines = sampling.lines()
    assert torch.equal(filled[:, lines], kspace[:, lines])
    assert nmse(filled, kspace) < nmse(kspace * sampling.mask, kspace)
