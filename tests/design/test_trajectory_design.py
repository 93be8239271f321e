"""Trajectories that are learned: curves, what gradients can do, where a design starts, and that it gets better."""

import math

import pytest
import torch

from kband_core.trajectory_design.curves import curve, fitted, refined
from kband_core.trajectory_design.feasible import CLOSE, EDGE, feasible
from kband_core.trajectory_design.gradient_limits import PROTON, GradientLimits, Raster
from kband_core.trajectory_design.starts import Readout, radial_shots, spiral_shots

READOUT = Readout(n_samples=480, dwell_us=4.0, pixel_mm=230 / 64)
LIMITS = GradientLimits(gradient=40.0, slew=150.0)


@pytest.fixture
def points(rng) -> torch.Tensor:
    return 0.4 * torch.rand(2, 9, 2, dtype=torch.float64, generator=rng) - 0.2


def test_a_finer_curve_is_the_same_curve(points):
    """Chaikin's points describe the same polynomials: rounding of doubles."""
    at = torch.linspace(0, 7, 57, dtype=torch.float64)
    assert torch.allclose(curve(refined(points), 2 * at), curve(points, at), atol=1e-15)


def test_the_nearest_curve_to_a_curve_is_itself(points):
    """Least squares of 57 samples for 9 points: rounding."""
    at = torch.linspace(0, 7, 57, dtype=torch.float64)
    assert torch.allclose(fitted(curve(points, at), at, 7), points, atol=1e-10)


def test_gradients_and_slew_rates_are_derivatives(points):
    """By differences of a fine table of the curve: in the middle of segments exact but for rounding."""
    raster = Raster(segment_us=160.0, pixel_mm=3.0)
    to_tesla = 1 / (PROTON * raster.pixel_mm * 1e-3)  # (cycles per pixel)/s → T/m
    step = 0.01
    middle = torch.arange(7, dtype=torch.float64) + 0.5
    before, here, after = (curve(points, middle + shift) for shift in (-step, 0, step))
    gradients, slew = raster.gradients(points), raster.slew_rates(points)
    seconds = raster.segment_us * 1e-6 * step
    assert torch.allclose(1e3 * to_tesla * (after - before) / (2 * seconds), (gradients[:, 1:] + gradients[:, :-1]) / 2)
    assert torch.allclose(to_tesla * (after - 2 * here + before) / seconds**2, slew, rtol=1e-6)


def test_a_spoke_has_the_gradient_of_the_books():
    """k from edge to edge is one over the pixel: 1 / (42.58 MHz/T · 3.6 mm · 1.92 ms) = 3.40 mT/m."""
    spoke = radial_shots(1, READOUT, LIMITS, step=math.pi)
    raster = Raster(segment_us=40.0, pixel_mm=READOUT.pixel_mm)
    strongest, steepest = raster.largest(fitted(spoke, READOUT.times_us / 40, 48))
    assert strongest == pytest.approx(1 / (42.577478518 * READOUT.pixel_mm * 1.92e-3), rel=1e-6)
    assert steepest == pytest.approx(0, abs=1e-6)


def test_what_is_kept_is_nearest_and_what_is_feasible_stays():
    """Curves that keep limits do not move; others come to the limits, wherever they were."""
    raster, rng = Raster(segment_us=160.0, pixel_mm=3.6), torch.Generator().manual_seed(0)
    still = fitted(0.8 * radial_shots(2, READOUT, LIMITS, step=1.0), READOUT.times_us / 160, 12)
    assert torch.allclose(feasible(still, raster, LIMITS), still, atol=1e-4)
    wild = still + 0.2 * torch.randn(still.shape, dtype=still.dtype, generator=rng)
    tamed = feasible(wild, raster, LIMITS)
    strongest, steepest = raster.largest(tamed)
    assert strongest <= LIMITS.gradient * (1 + 2 * CLOSE)
    assert steepest <= LIMITS.slew * (1 + 2 * CLOSE)
    assert tamed.abs().max() <= EDGE


@pytest.mark.parametrize("density", [1.0, 1.6])
def test_a_spiral_uses_its_time_and_no_more_than_its_gradients(density):
    """It ends at the edge with the readout, one of both limits is reached, to the 5 % that a design leaves."""
    shots = spiral_shots(8, READOUT, LIMITS, density=density)
    radius = shots.norm(dim=-1)
    assert radius[:, -1].min() > 0.49
    assert radius.max() <= 0.5 + 1e-9
    strongest, steepest = Raster(segment_us=20.0, pixel_mm=READOUT.pixel_mm).largest(
        fitted(shots, READOUT.times_us / 20, 96)
    )
    assert max(strongest / LIMITS.gradient, steepest / LIMITS.slew) == pytest.approx(1, abs=0.05)


def test_limits_that_nothing_can_meet_are_named():
    """A spoke in 1.92 ms needs 3.4 mT/m."""
    weak = GradientLimits(gradient=2.0, slew=150.0)
    with pytest.raises(ValueError, match=r"a spoke in 1\.92 ms needs 3\.4 mT/m, 2 expected at most"):
        radial_shots(8, READOUT, weak, step=0.4)
    with pytest.raises(ValueError, match=r"no spiral reaches the edge of k-space in 1\.92 ms"):
        spiral_shots(8, READOUT, GradientLimits(gradient=1.0, slew=150.0), density=1.0)
    with pytest.raises(ValueError, match="slew is 0 T/m/s, more than 0 expected"):
        GradientLimits(gradient=40.0, slew=0.0)
