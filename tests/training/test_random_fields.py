"""Random fields have the detail that they are asked for."""

import math

import pytest
import torch

from kband_core.training.simulation.random_fields import above, blurred, border_width, rough_field, smooth_field


def test_a_smooth_field_is_smooth(rng):
    """Over 20 pixels it has SD 1, and from one pixel to the next it changes by less than a fifth of that."""
    field = smooth_field((64, 64), 20.0, rng)
    assert float(field.std()) == pytest.approx(1, rel=1e-3)
    assert float(field.diff(dim=0).std()) < 0.2


def test_a_band_has_details_of_one_size(rng):
    """Power is greatest where frequency times length is 1/2, and small at a quarter and at three times of that."""
    length = 16.0
    power = torch.fft.fft2(smooth_field((256, 256), length, rng, band=True)).abs().square()
    frequency = torch.hypot(*torch.meshgrid(2 * [torch.fft.fftfreq(256)], indexing="ij")) * length

    def mean(centre):
        return float(power[(frequency - centre).abs() < 0.05].mean())

    assert mean(0.5) > 20 * mean(0.125)
    assert mean(0.5) > 100 * mean(1.5)


@pytest.mark.parametrize("exponent", [1.0, 2.0, 3.0])
def test_a_rough_field_has_detail_at_every_scale(exponent, rng):
    """Twice the frequency, 2 ** -exponent of the amplitude, averaged over directions, since it may be stretched."""
    fields = torch.stack([rough_field((256, 256), exponent, rng) for _ in range(4)])
    power = torch.fft.fft2(fields).abs().square().mean(0)
    frequency = torch.hypot(*torch.meshgrid(2 * [torch.fft.fftfreq(256)], indexing="ij"))

    def mean(centre):
        return float(power[(frequency / centre - 1).abs() < 0.1].mean())

    fall = math.log2(mean(0.2) / mean(0.1)) / 2
    assert fall == pytest.approx(-exponent, abs=0.3)


def test_a_border_is_as_soft_as_asked_for():
    """Half in the middle; three quarters at a distance of ln 3 times the width."""
    field = torch.tensor([-100.0, 0.5, 0.5 + 0.2 * math.log(3), 100.0])
    assert above(field, 0.5, 0.2).tolist() == pytest.approx([0, 0.5, 0.75, 1])


def test_borders_are_sharp_or_washed_out(rng):
    """From 0.02 to 0.6 of the field's SD, on a logarithmic scale."""
    drawn = torch.tensor([border_width(rng) for _ in range(400)])
    assert 0.02 <= float(drawn.min()) < 0.025
    assert 0.5 < float(drawn.max()) <= 0.6
    assert float(drawn.log().mean()) == pytest.approx(math.log(math.sqrt(0.02 * 0.6)), abs=0.15)


def test_a_point_is_blurred_into_a_gaussian():
    """Its sum stays and its variance along each axis is the square of the width."""
    point = torch.zeros(41, 51)
    point[20, 25] = 3
    spot = blurred(point, 2.5)
    assert float(spot.sum()) == pytest.approx(3, rel=1e-4)
    for along, centre, n in ((spot.sum(1), 20, 41), (spot.sum(0), 25, 51)):
        distance = torch.arange(n) - centre
        assert float((along * distance**2).sum() / along.sum()) == pytest.approx(2.5**2, rel=0.01)
