"""The transform and its conventions."""

import pytest
import torch

from kband_core.axes import check_axes
from kband_core.fourier import fast_lengths, interpolate, resize, to_image, to_kspace

SHAPES = [(6, 8), (7, 9), (5, 8), (1, 4)]


@pytest.mark.parametrize("shape", SHAPES)
def test_inverse_and_unitary(shape, rng):
    """Orthonormal: there and back is the identity, energy is kept (single precision)."""
    image = torch.randn(3, *shape, dtype=torch.complex64, generator=rng)
    torch.testing.assert_close(to_image(to_kspace(image)), image)
    torch.testing.assert_close(to_kspace(image).norm(), image.norm())


@pytest.mark.parametrize("n", [6, 7])
def test_equals_the_sum_it_stands_for(n, rng):
    """Image = Σ k-space e^{+ik·r}/√N with both origins at N//2, written out as a matrix."""
    index = torch.arange(n) - n // 2
    matrix = torch.exp(2j * torch.pi * torch.outer(index, index) / n) / n**0.5
    kspace = torch.randn(n, dtype=torch.complex64, generator=rng)
    torch.testing.assert_close(to_image(kspace, (-1,)), matrix.to(torch.complex64) @ kspace)


@pytest.mark.parametrize("small", [(4, 6), (5, 7), (5, 6)])
@pytest.mark.parametrize("large", [(8, 10), (9, 11), (9, 10)])
def test_resize_keeps_the_origin(small, large, rng):
    """Zero-padding then cropping is the identity, and the sample at N//2 stays at N//2."""
    array = torch.randn(2, *small, generator=rng)
    padded = resize(array, large)
    assert torch.equal(resize(padded, small), array)
    assert torch.equal(padded[:, large[0] // 2, large[1] // 2], array[:, small[0] // 2, small[1] // 2])


def test_interpolation_keeps_values():
    """A cosine of one period is band-limited: on any grid it is sampled at its own values."""
    coarse, fine = (torch.cos(2 * torch.pi * (torch.arange(n) - n // 2) / n)[None] + 0j for n in (8, 15))
    torch.testing.assert_close(interpolate(coarse, (15,), (-1,)), fine)


def test_axes_of_the_same_name_must_agree():
    """The message names both arrays, the axis and the lengths."""
    with pytest.raises(ValueError, match=r"^csm has 12 along coil, but kspace has 8$"):
        check_axes(kspace=(torch.zeros(8, 4, 4), "coil ky kx"), csm=(torch.zeros(2, 12, 4, 4), "... coil y x"))
    with pytest.raises(ValueError, match="its axes are 'coil ky kx'"):
        check_axes(kspace=(torch.zeros(4, 4), "coil ky kx"))
    assert check_axes(mask=(torch.zeros(5, 6), "... kx")) == {"kx": 6}


def test_fast_lengths_have_small_prime_factors():
    assert fast_lengths(96, 128) == [96, 98, 100, 105, 108, 112, 120, 125, 126, 128]
    assert fast_lengths(1, 11) == list(range(1, 11))
    assert fast_lengths(113, 113) == []
    assert fast_lengths(4095, 4096) == [4096]  # whatever the power
