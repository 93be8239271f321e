"""The published bands and weight, against an independent road; and how far they are from unbiased."""

import pytest
import torch

from kband_core.bands import band_size, expected_coverage
from kband_core.training.supervision.reference import reference_band, reference_weight


@pytest.mark.parametrize("angle", [0, 30, 45, 77, 135])
def test_reference_band_is_a_rotated_canvas(angle):
    """The product of two splines against SciPy's rotation of a drawn box, float32; half a pixel off DC."""
    ndimage = pytest.importorskip("scipy.ndimage")
    length, width = (2 * int(side / 2) for side in band_size((50, 64), 4, angle))
    canvas = torch.zeros(128, 128, dtype=torch.float64)
    canvas[64 - length // 2 : 64 + length // 2, 64 - width // 2 : 64 + width // 2] = 1
    turned = ndimage.rotate(canvas.numpy(), angle, reshape=False, order=3)[64 - 25 : 64 + 25, 32:96]
    torch.testing.assert_close(
        reference_band((50, 64), 4, angle), torch.from_numpy(turned).abs().float(), atol=1e-6, rtol=0
    )


def test_reference_weight_follows_the_recipe():
    """Counts over 180 whole degrees, inverted, mean 1 over those above 0.5, then a 5 x 5 box with zeros outside."""
    ndimage = pytest.importorskip("scipy.ndimage")
    count = sum(reference_band((40, 44), 4, angle).double() for angle in range(180)).numpy()
    inverse = (count >= 0.5) / count
    smooth = ndimage.uniform_filter(inverse / inverse[count >= 0.5].mean(), 5, mode="constant")
    torch.testing.assert_close(reference_weight((40, 44), 4).double(), torch.from_numpy(smooth), rtol=1e-4, atol=1e-6)
    assert (count < 0.5).any()


def test_reference_weight_is_not_quite_unbiased():
    """What smoothing and fractional edges do: W·E scatters by more than 10 %, where ours is 1 to rounding."""
    coverage = expected_coverage((64, 64), 4, angles=range(180))
    product = (reference_weight((64, 64), 4) * coverage)[coverage > 0.1]
    assert product.std() / product.median() > 0.1
