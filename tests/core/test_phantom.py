"""The phantom: k-space from formulas must be the k-space of the picture, of the coils, and of the receiver."""

import math

import numpy as np
import pytest
import torch
from torch.nn.functional import max_pool2d

from kband_core.fourier import to_image
from kband_core.phantom import (
    Ellipse,
    Phantom,
    coil_covariance,
    coil_kspace,
    complex_noise,
    head_phantom,
    loop_coils,
)
from tests.laws import nmse

TILTED = Ellipse(1.5, semi_y=0.3, semi_x=0.2, y=-0.05, x=0.08, angle=0.5)


def test_kspace_at_zero_is_the_integral_over_the_area():
    """F(0) = Σ intensity · π a b, to the last digits of single precision."""
    head = head_phantom(0.1)
    integral = sum(math.pi * e.intensity * e.semi_y * e.semi_x for e in head.ellipses)
    assert head.kspace(torch.tensor(0.0), torch.tensor(0.0)).item() == pytest.approx(integral, rel=1e-6)


@pytest.mark.parametrize(("ky", "kx"), [(0.0, 0.0), (1.0, 0.0), (-0.5, 3.5), (7.3, -12.1)])
def test_ellipse_agrees_with_quadrature(ky, kx):
    """∫ e^{-2πi k·r} over the area, summed in polar coordinates: the rule converges to double precision here."""
    nodes, weights = np.polynomial.legendre.leggauss(100)
    radius, angle = (nodes[:, None] + 1) / 2, 2 * np.pi * np.arange(200) / 200
    x, y = TILTED.semi_x * radius * np.cos(angle), TILTED.semi_y * radius * np.sin(angle)
    cos, sin = np.cos(TILTED.angle), np.sin(TILTED.angle)
    x, y = TILTED.x + cos * x - sin * y, TILTED.y + sin * x + cos * y
    area = TILTED.semi_y * TILTED.semi_x * radius * weights[:, None] / 2 * 2 * np.pi / 200
    expected = TILTED.intensity * (np.exp(-2j * np.pi * (ky * y + kx * x)) * area).sum()
    assert TILTED.kspace(torch.tensor(ky), torch.tensor(kx)).item() == pytest.approx(expected, abs=1e-7)


def test_shift_is_a_phase_ramp(rng):
    """An ellipse moved by r0 has its k-space times e^{-2πi k·r0}, to double precision."""
    ky, kx = 20 * torch.rand(2, 50, dtype=torch.float64, generator=rng)
    centred = Ellipse(1.5, semi_y=0.3, semi_x=0.2, angle=0.5)
    ramp = torch.exp(-2j * math.pi * (ky * TILTED.y + kx * TILTED.x))
    assert torch.allclose(TILTED.kspace(ky, kx), centred.kspace(ky, kx) * ramp, atol=1e-12)


@pytest.mark.parametrize(
    ("shape", "fov", "oversampling"),
    [((96, 128), (1.0, 1.0), 2), ((97, 127), (1.0, 1.0), 1), ((128, 96), (1.2, 0.9), 2)],
)
def test_image_is_sensitivity_times_object(shape, fov, oversampling):
    """to_image gives maps · object, away from edges.

    The truncated k-space rings: d pixels from an edge of height 1 by at most 1/(π² d), 0.02 at d = 5, and edges
    here are 1.5 · 2 (intensity and sensitivity) high; in the mean over the ellipse the ringing cancels.
    """
    phantom, coils = Phantom((TILTED,)), loop_coils(3, object_phase=1.0)
    image = to_image(coil_kspace(phantom, coils, shape, fov=fov, oversampling=oversampling))
    wide_shape, wide_fov = (shape[0], shape[1] * oversampling), (fov[0], fov[1] * oversampling)
    support = phantom.image(wide_shape, wide_fov)
    expected = coils.maps(wide_shape, wide_fov) * support
    brightest, darkest = (sign * max_pool2d(sign * support[None], 11, 1, 5)[0] for sign in (1, -1))
    near_edge = brightest != darkest
    inside = ~near_edge & (support > 0)
    assert inside.sum() > 300
    assert (image - expected)[:, ~near_edge].abs().max() < 0.06
    ratio = image[:, inside].sum(1) / expected[:, inside].sum(1)
    assert (ratio - 1).abs().max() < 0.005


@pytest.mark.parametrize("fov", [(1.0, 1.0), (0.75, 0.8)])
def test_coils_shift_the_kspace_of_the_object(fov):
    """coil k-space = Σ a F(k - κ), written out sample by sample; single-precision sums of 49 terms."""
    head, coils = head_phantom(), loop_coils(4)
    kspace = coil_kspace(head, coils, (6, 9), fov=fov, oversampling=1)
    ky, kx = (torch.arange(6) - 3).double() / fov[0], (torch.arange(9) - 4).double() / fov[1]
    f = coils.frequencies
    shifted = head.kspace(ky[:, None, None, None] - f[:, None], kx[:, None, None] - f)
    expected = torch.einsum("cmn,yxmn->cyx", coils.coefficients, shifted.to(torch.complex128))
    assert nmse(kspace, expected * math.sqrt(54) / (fov[0] * fov[1])) < 1e-11


@pytest.mark.parametrize("shape", [(6, 8), (7, 9)])
def test_readout_oversampling_adds_samples_in_between(shape):
    """Every second sample of the twice oversampled readout is the plain one.

    Times √2: an orthonormal transform of twice the samples. Both sum the same terms, in another order.
    """
    head, coils = head_phantom(), loop_coils(3)
    plain = coil_kspace(head, coils, shape, oversampling=1)
    oversampled = coil_kspace(head, coils, shape, oversampling=2)
    assert torch.allclose(oversampled[..., shape[1] % 2 :: 2] * 2**0.5, plain, rtol=0, atol=1e-6 * plain.abs().max())


def test_half_the_field_of_view_is_every_second_line():
    """A field of view smaller than the head wraps it, as undersampling by 2 does; √2 as many samples per image."""
    head, coils = head_phantom(), loop_coils(3)
    full = coil_kspace(head, coils, (64, 32))
    wrapped = coil_kspace(head, coils, (32, 32), fov=(0.5, 1.0))
    assert torch.allclose(wrapped, full[:, ::2] * 2**0.5, rtol=0, atol=1e-6 * full.abs().max())


@pytest.mark.parametrize("n_coils", [1, 2, 8, 32])
def test_sensitivities_stay_bounded(n_coils):
    """1 in the centre by definition, rising towards the wires, also where the fit has no data (corners)."""
    root_sum_of_squares = loop_coils(n_coils).maps((64, 64)).norm(dim=0)
    assert root_sum_of_squares[32, 32] == pytest.approx(1, abs=1e-5)
    assert root_sum_of_squares.max() < 7


def test_tissue_is_never_negative():
    """Tissue has no negative magnetisation, and every slice has scalp of intensity 1, the brightest tissue."""
    slices = torch.stack([head_phantom(z).image((96, 96)) for z in torch.linspace(-1, 1, 41).tolist()])
    assert slices.min() > -1e-6
    assert torch.allclose(slices.amax((1, 2)), torch.ones(41))


def test_slices_of_the_head_differ():
    """Ellipsoids are cut at their own heights; a slice beyond the head is refused."""
    slices = [head_phantom(z).image((64, 64)) for z in (-1, -0.5, 0, 0.5, 1)]
    assert all(nmse(a, b) > 0.05 for a, b in zip(slices[1:], slices[:-1], strict=True))
    with pytest.raises(ValueError, match=r"z is 1\.5, but"):
        head_phantom(1.5)


@pytest.mark.parametrize("n_coils", [1, 2, 3, 8, 32])
def test_covariance_is_positive_definite(n_coils, rng):
    """A Cholesky factor exists, and variances lie within 30 % of 1."""
    covariance = coil_covariance(n_coils, rng)
    torch.linalg.cholesky(covariance)
    assert torch.equal(covariance, covariance.mH)
    assert (covariance.diagonal().real - 1).abs().max() <= 0.3 + 1e-6
    if n_coils > 1:
        neighbours = covariance[0, 1].abs() / (covariance[0, 0] * covariance[1, 1]).abs().sqrt()
        assert neighbours == pytest.approx(0.2, abs=1e-5)


def test_noise_has_the_covariance(rng):
    """Half the mean of n nᴴ is the covariance Ψ; the standard error of an entry is √(Ψii Ψjj / N), five allowed."""
    covariance = coil_covariance(4, rng)
    noise = complex_noise(covariance, (100, 500), rng).flatten(1)
    measured = noise @ noise.mH / (2 * noise.shape[1])
    scale = covariance.diagonal().real.sqrt()
    standard_error = torch.outer(scale, scale) / noise.shape[1] ** 0.5
    assert ((measured - covariance).abs() < 5 * standard_error).all()


def test_noise_scale_is_per_component(rng):
    """Identity covariance: SD 1 in the real and in the imaginary part, also in the image; 20,000 samples: ±0.5 %."""
    image = to_image(complex_noise(torch.eye(2), (100, 100), rng))
    assert image.real.std() == pytest.approx(1, abs=0.02)
    assert image.imag.std() == pytest.approx(1, abs=0.02)
