"""What twelve bits cannot show is counted: pixels above twice the 99th percentile."""

import pytest
import torch

from kband_core.pixel_range import n_beyond_range, percentile_99


def test_pixels_beyond_twice_the_percentile_are_counted():
    """Of 10,000 pixels of 1 to 1.2, seven are of 3: the limit lies at 2.5."""
    pixels = torch.linspace(1, 1.2, 10_000)
    pixels[::1500] = 3
    assert n_beyond_range(pixels.view(100, 100)) == 7


def test_pixels_at_the_end_of_the_range_are_not():
    """The brightest of all lies below it."""
    assert n_beyond_range(torch.linspace(0, 1, 10_000)) == 0


def test_an_image_of_zeros_has_nothing_to_clip():
    """No percentile could be told of it."""
    assert n_beyond_range(torch.zeros(8, 8)) == 0


def test_the_percentile_lies_within_two_bins():
    """Of numbers from 0 to 100, above 99 by two at most."""
    assert percentile_99(torch.linspace(0, 100, 100_001)) == pytest.approx(100, abs=1)
