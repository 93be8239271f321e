"""Gradient delays of spokes: estimated, accepted only where samples explain one another better."""

import math

import pytest
import torch

from kband_core.data_residual import central_residual
from kband_core.gradient_delays import delayed, find_delays, opposed_delays, ring_delays
from kband_core.phantom import head_phantom, loop_coils
from kband_core.phantom_samples import coil_samples_at
from kband_core.trajectories import spokes

pytest.importorskip("finufft")
N = 64
LATE = torch.tensor([[-0.2, 0.05], [0.05, 0.3]])  # the gradient along x is late, that along y early, and one leaks


def samples_at(coords) -> torch.Tensor:
    """What 6 coils measure of the head where the gradients led: `(coil, spoke, sample)`."""
    return coil_samples_at(head_phantom(), loop_coils(6, object_phase=1.0), coords * N) * N


def circle(n_spokes, span=2 * math.pi) -> torch.Tensor:
    return spokes(torch.arange(n_spokes, dtype=torch.float64) * (span / n_spokes), 2 * N)


def residual_of(kspace):
    return lambda coords: central_residual(kspace, coords, (N, N))


def test_late_gradients_move_samples_backwards():
    """At the middle of a spoke along x, a gradient that comes a sample late has not reached the centre yet."""
    along_x = spokes(torch.zeros(1), 8)
    moved = delayed(along_x, torch.diag(torch.tensor([0.0, 1.0])))
    torch.testing.assert_close(moved[0, 4], torch.tensor([0.0, -1 / 8]))


@pytest.mark.parametrize("n_spokes", [24, 33])
def test_opposed_spokes_tell_delays(n_spokes):
    """Within 0.04 of a sample: magnitudes of what is not quite the same line are compared."""
    coords = circle(n_spokes)
    assert (opposed_delays(samples_at(delayed(coords, LATE)), coords) - LATE).abs().max() < 0.04


@pytest.mark.parametrize("span", [math.pi, 2 * math.pi])
def test_crossings_tell_delays(span):
    """Within 0.01 of a sample, which is searched in steps of 1/64; noise-free."""
    coords = circle(25, span)
    assert (ring_delays(samples_at(delayed(coords, LATE)), coords) - LATE).abs().max() < 0.01


def test_half_a_circle_has_no_opposed_spokes():
    """Uniform spokes over 180°: none comes back the other way."""
    coords = circle(25, math.pi)
    assert opposed_delays(samples_at(coords), coords) is None


def test_only_what_the_coordinates_lack_is_found():
    """Trajectories that hold the delays already have none left, by either estimate (0.04 of a sample)."""
    coords = delayed(circle(33), LATE)
    kspace = samples_at(coords)
    assert opposed_delays(kspace, coords).abs().max() < 0.04
    assert ring_delays(kspace, coords).abs().max() < 0.01


def test_delays_that_explain_the_samples_are_accepted():
    """The residual falls to that of the true places (measured: 0.146 to 0.025)."""
    coords = circle(33)
    kspace = samples_at(delayed(coords, LATE))
    found = find_delays(kspace, coords, residual_of(kspace))
    assert found.accepted
    assert found.after < 1.05 * residual_of(kspace)(delayed(coords, LATE)) < 0.3 * found.before


def test_delays_that_explain_nothing_are_not_accepted():
    """Of samples at their places nothing is to be gained: less than noise is no reason to move them."""
    coords = circle(33)
    kspace = samples_at(coords)
    assert not find_delays(kspace, coords, residual_of(kspace)).accepted


def test_the_better_of_both_estimates_is_taken(monkeypatch):
    """On measured phantoms crossings gave the wrong sign."""
    coords = circle(33)
    kspace = samples_at(delayed(coords, LATE))
    monkeypatch.setattr("kband_core.gradient_delays.ring_delays", lambda kspace, coords: -LATE)
    assert find_delays(kspace, coords, residual_of(kspace)).estimate == "opposed spokes"


def test_two_spokes_tell_nothing():
    """D has three numbers."""
    coords = circle(2, math.pi)
    assert find_delays(samples_at(coords), coords, lambda coords: 1.0) is None
