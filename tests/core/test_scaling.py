"""The scale that a network is told."""

import pytest
import torch

from kband_core.bands import band_mask
from kband_core.fourier import resize, to_image
from kband_core.patterns import variable_density_lines
from kband_core.scaling import plane_scale
from tests.core.noisy_head import SIGMA, scan


@pytest.fixture
def kspace(rng):
    return scan(6, SIGMA, rng)


def test_scale_does_not_depend_on_what_is_sampled_around_the_centre(kspace, rng):
    """24 calibration lines hold the whole disc, so that training on anything and any scan agree."""
    lines = variable_density_lines(96, 3, acs_lines=24, rng=rng).mask
    band = band_mask((96, 80), 3, 30.0)
    scales = [plane_scale(kspace * mask) for mask in (torch.ones(1, 1), lines, band)]
    assert scales[1] == scales[0]
    assert scales[2] == scales[0]


def test_scale_is_the_brightness_of_the_image(kspace):
    """The 95th percentile of a head of values up to 1 seen by coils of root sum of squares up to 1.9."""
    image = torch.linalg.vector_norm(to_image(kspace), dim=-3)
    assert float(plane_scale(kspace)) == pytest.approx(float(torch.quantile(image, 0.95)), rel=0.15)


def test_scale_does_not_depend_on_resolution(kspace):
    """Zero-filling to twice the matrix makes finer pixels of the same object: k-space grows by √4 = 2."""
    finer = resize(kspace, (192, 160)) * 2
    assert float(plane_scale(finer)) == pytest.approx(float(plane_scale(kspace)), rel=1e-3)


def test_scale_follows_the_signal(kspace):
    """Raw values have no unit."""
    assert float(plane_scale(1e-6 * kspace)) == pytest.approx(1e-6 * float(plane_scale(kspace)))


@pytest.mark.parametrize("empty", [0.0, torch.nan])
def test_no_signal_has_no_scale(empty):
    """Division by it would show noise, or NaN, as an image."""
    with pytest.raises(ValueError, match="the centre of k-space holds no signal, or NaN"):
        plane_scale(torch.full((2, 32, 32), empty, dtype=torch.complex64))
