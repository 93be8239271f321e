"""RAKI in image space: the same network, seen where its artefacts are."""

import pytest
import torch

from kband_core.fourier import to_image, to_kspace
from kband_core.raki.image_space import (
    activation_masks,
    convolve_images,
    freeze,
    image_space_weights,
    infer_in_image_space,
    mask_off_centre_energy,
)
from kband_core.raki.network import RakiNetwork, apply_raki, complex_leaky_relu
from kband_core.sampling import Grid

N_COILS = 3


def complex_normal(*shape, rng):
    return torch.randn(*shape, dtype=torch.complex128, generator=rng)


def network(rng, widths=(6, 4), *, acceleration=3, slope=0.5, skip=False, slices=(), first=(2, 5)):
    """Random weights of the size that keeps a signal's."""
    n_outputs = N_COILS * (acceleration - 1)
    channels = (N_COILS, *widths, n_outputs)
    kernels = [first, *[(1, 1)] * (len(widths) - 1), (1, 5)] if widths else [first]
    shapes = [(b, a, *taps) for a, b, taps in zip(channels, channels[1:], kernels, strict=False)]
    layers = [complex_normal(*slices, *shape, rng=rng) / shape[1] ** 0.5 / 2 for shape in shapes]
    bypass = complex_normal(*slices, n_outputs, N_COILS, 2, 3, rng=rng) / 4 if skip else None
    return RakiNetwork(tuple(layers), slope, acceleration, bypass)


@pytest.mark.parametrize("widths", [(), (6,), (6, 4), (6, 5, 4)])
@pytest.mark.parametrize("skip", [False, True])
def test_image_space_equals_kspace(widths, skip, rng):
    """Both are the same sums in another order, edges included: double precision rounding."""
    raki = network(rng, widths, skip=skip)
    kspace = complex_normal(2, N_COILS, 15, 9, rng=rng)
    lines = torch.arange(15) % 3 == 1
    expected = to_image(apply_raki(raki, kspace * lines[:, None], Grid(lines[:, None])))
    torch.testing.assert_close(infer_in_image_space(raki, kspace[..., lines, :], first_line=1), expected)


@pytest.mark.parametrize("first", [(2, 5), (3, 4)])
def test_even_kernels_equal_kspace(first, rng):
    """Where k-space ends with its last gap, around the edge too; even kernels have their centre after the middle."""
    raki = network(rng, first=first)
    kspace = complex_normal(N_COILS, 12, 8, rng=rng)
    lines = torch.arange(12) % 3 == 0
    expected = to_image(apply_raki(raki, kspace * lines[:, None], Grid(lines[:, None])))
    torch.testing.assert_close(infer_in_image_space(raki, kspace[:, lines]), expected)


def test_single_precision_is_enough(rng):
    """Six orders of magnitude: single precision through two layers and as many Fourier transforms."""
    raki = network(rng)
    raki = RakiNetwork(tuple(layer.to(torch.complex64) for layer in raki.layers), 0.5, 3)
    kspace = complex_normal(N_COILS, 60, 32, rng=rng).to(torch.complex64)
    lines = torch.arange(60) % 3 == 0
    expected = to_image(apply_raki(raki, kspace * lines[:, None], Grid(lines[:, None])))
    error = infer_in_image_space(raki, kspace[:, lines]) - expected
    assert error.norm() / expected.norm() < 1e-6


def test_weights_multiply_at_every_pixel(rng):
    """A layer without activation is one matrix at each pixel of the aliased images."""
    raki = network(rng, (), skip=True)
    kspace = complex_normal(N_COILS, 15, 9, rng=rng) * (torch.arange(15) % 3 == 0)[:, None]
    images = to_image(kspace)
    made = sum(torch.einsum("oiyx,iyx->oyx", weights, images) for weights in image_space_weights(raki, (15, 9)))
    torch.testing.assert_close(made + images, infer_in_image_space(raki, kspace[:, ::3]))


def test_hidden_weights_see_lines_of_the_grid(rng):
    """The first layer in image space is its convolution on every R-th line."""
    raki = network(rng)
    lines = complex_normal(N_COILS, 5, 9, rng=rng)
    kspace = torch.zeros(N_COILS, 15, 9, dtype=lines.dtype)
    kspace[:, ::3] = lines
    first, second, last = image_space_weights(raki, (15, 9))
    hidden = to_kspace(torch.einsum("oiyx,iyx->oyx", first, to_image(kspace)))
    torch.testing.assert_close(hidden[:, ::3], raki.pre_activations(lines)[0])
    assert hidden[:, 1::3].abs().max() < 1e-12
    assert second.shape == (4, 6, 15, 9)
    assert last.shape == (N_COILS, 4, 15, 9)


@pytest.mark.parametrize("slope", [0.0, 0.5, 1.0])
def test_masks_are_the_activation(slope, rng):
    """m·z = ℂLReLU(z), and 0 where z is 0 unless nothing is bent."""
    raki = network(rng, slope=slope)
    lines = complex_normal(N_COILS, 5, 16, rng=rng)
    lines[..., 8:] = 0
    for mask, z in zip(activation_masks(raki, lines), raki.pre_activations(lines), strict=True):
        torch.testing.assert_close(mask * z, complex_leaky_relu(z, slope))
        assert (mask[z == 0] == (slope == 1)).all()


def test_frozen_network_agrees_where_it_was_frozen(rng):
    """f is 1-homogeneous, so its masks do not depend on the gain: f(c·x) is the frozen network's, which is linear."""
    raki = network(rng, skip=True)
    lines = complex_normal(N_COILS, 5, 9, rng=rng)
    frozen = freeze(raki, lines)
    torch.testing.assert_close(frozen(lines), raki(lines))
    torch.testing.assert_close(frozen(7 * lines), raki(7 * lines))
    torch.testing.assert_close(frozen(1j * lines), 1j * frozen(lines))
    assert (raki(1j * lines) - 1j * raki(lines)).abs().max() > 0.1


@pytest.mark.parametrize("shape", [(4, 5), (5, 6)])
def test_activation_is_block_circulant(shape, rng):
    """The matrix of the convolution wraps each axis on itself: double sum over all pixels, double precision."""
    mask, image = complex_normal(2, *shape, rng=rng)
    expected = torch.zeros_like(image)
    for y in range(shape[0]):
        for x in range(shape[1]):
            rolled = mask.flip(0, 1).roll((y + shape[0] // 2 + 1, x + shape[1] // 2 + 1), (0, 1))
            expected[y, x] = (rolled * image).sum() / image.numel() ** 0.5
    torch.testing.assert_close(convolve_images(mask, image), expected)


def test_off_centre_energy_of_known_masks(rng):
    """A constant mask moves nothing; one that alternates in sign moves everything; random ones almost everything."""
    signs = torch.tensor([1, -1]).repeat(5, 4).to(torch.complex128)
    noise = complex_normal(5, 8, rng=rng)
    energy = mask_off_centre_energy(torch.stack([torch.full_like(signs, 0.5j), signs, noise]))
    assert energy[:2].tolist() == pytest.approx([0, 1], abs=1e-12)
    assert energy[2] > 0.8
    linear, _ = activation_masks(network(rng, slope=1.0), noise.expand(N_COILS, 5, 8))
    assert mask_off_centre_energy(linear).abs().max() < 1e-12
