"""Metrics: identities, analytic values, and the convention of scikit-image."""

import math

import pytest
import torch

from kband_core.metrics import nmse, nrmse, psnr, ssim
from kband_core.phantom import head_phantom


def noisy(reference, rng):
    return reference + 0.1 * torch.randn(reference.shape, generator=rng)


def test_equal_images_are_perfect(rng):
    """No error, no distance, full similarity; exact except for SSIM's rounding."""
    image = torch.rand(3, 16, 17, generator=rng)
    assert torch.equal(nmse(image, image), torch.zeros(3))
    assert torch.isinf(psnr(image, image)).all()
    assert torch.allclose(ssim(image, image), torch.ones(3), atol=1e-6)


def test_scaling_error_is_squared_by_nmse(rng):
    """(1 + ε) · reference has NMSE ε² and NRMSE ε, for complex images too."""
    reference = torch.randn(2, 6, 8, dtype=torch.complex64, generator=rng)
    assert torch.allclose(nmse(1.1 * reference, reference), torch.full((2,), 0.01), rtol=1e-4)
    assert torch.allclose(nrmse(1.1j * reference / 1j, reference), torch.full((2,), 0.1), rtol=1e-4)
    assert torch.allclose(nmse(-reference, reference), torch.full((2,), 4.0), rtol=1e-4)


def test_psnr_of_a_constant_error_is_known():
    """An error of 0.1 everywhere under a maximum of 1 is 20 dB; ten times the range is 20 dB more."""
    reference = torch.zeros(6, 8)
    reference[2, 3] = 1
    assert psnr(reference + 0.1, reference).item() == pytest.approx(20, abs=1e-4)
    assert psnr(reference + 0.1, reference, data_range=10).item() == pytest.approx(40, abs=1e-4)


def test_metrics_are_per_image(rng):
    """A batch gives what its images give one by one; one reference serves a batch."""
    reference = torch.rand(2, 3, 12, 13, generator=rng)
    image = noisy(reference, rng)
    for metric in (nmse, nrmse, psnr, ssim):
        values = metric(image, reference)
        assert values.shape == (2, 3)
        assert values[1, 2].item() == pytest.approx(metric(image[1, 2], reference[1, 2]).item(), rel=1e-5)
        assert metric(image, reference[0, 0])[0, 0].item() == pytest.approx(values[0, 0].item(), rel=1e-5)


def test_volume_range_broadcasts(rng):
    """fastMRI's range: one maximum per volume, so that dark slices are not judged by their own maximum."""
    reference = torch.rand(2, 3, 12, 13, generator=rng) * torch.tensor([1.0, 2.0, 4.0])[:, None, None]
    image = noisy(reference, rng)
    volume_range = reference.abs().amax((-3, -2, -1))[..., None]
    gain = 20 * (volume_range / reference.amax((-2, -1))).log10()
    assert torch.allclose(psnr(image, reference, data_range=volume_range), psnr(image, reference) + gain, atol=1e-4)
    assert ssim(image, reference, data_range=volume_range).shape == (2, 3)


@pytest.mark.parametrize("shape", [(64, 64), (33, 40), (7, 9)])
@pytest.mark.parametrize("structured", [True, False])
def test_ssim_agrees_with_scikit_image(shape, structured, rng):
    """Same window, constants, covariance and border; 1e-4 is far below any difference that is reported."""
    skimage_metrics = pytest.importorskip("skimage.metrics")
    reference = head_phantom().image(shape) if structured else torch.rand(shape, generator=rng)
    image = noisy(reference, rng).abs()
    expected = skimage_metrics.structural_similarity(
        reference.numpy(), image.numpy(), data_range=reference.max().item(), win_size=7
    )
    assert ssim(image, reference).item() == pytest.approx(expected, abs=1e-4)
    assert math.isfinite(expected)


def test_ssim_sees_magnitudes(rng):
    """A global phase changes no magnitude; single-precision rounding of it."""
    reference = torch.randn(12, 13, dtype=torch.complex64, generator=rng)
    assert ssim(reference * 1j**0.5, reference).item() == pytest.approx(1, abs=1e-5)


def test_ssim_survives_a_bright_flat_region():
    """Variance of 1e-4 on a mean of 1 is lost in float32; the same contrast without the mean gives the structure."""
    ramp = torch.linspace(0, 1e-2, 20).double().expand(20, 20)
    bright = 1 + ramp
    assert ssim(bright, bright, data_range=1e-3).item() == pytest.approx(1, abs=1e-6)
    assert ssim(1 + ramp.flip(-1), bright, data_range=1e-3).item() < -0.9


def test_unequal_and_small_images_are_refused():
    """One sentence with both sizes."""
    with pytest.raises(ValueError, match="reference has 7 along y, but image has 8"):
        nmse(torch.zeros(8, 8), torch.zeros(7, 8))
    with pytest.raises(ValueError, match="images of 6 x 8 pixels"):
        ssim(torch.zeros(6, 8), torch.zeros(6, 8))
