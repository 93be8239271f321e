"""What is known of coil maps ahead of an image changes nothing of it."""

import pytest
import torch

from kband_core.coils import compress
from kband_core.completion import complete
from kband_core.maps_ahead import MapsAhead, energy, shading
from kband_core.sampling import Grid


def samples(rng, *shape):
    return torch.randn(*shape, dtype=torch.complex64, generator=rng)


@pytest.fixture
def csm(rng):
    maps = samples(rng, 1, 1, 8, 10, 9)
    return maps / maps.norm(dim=2, keepdim=True)


def test_what_is_known_ahead_changes_no_pixel(rng, csm):
    """Also of maps that are zero in places: to rounding of single precision."""
    mask = torch.rand(1, 10, 1, generator=rng) > 0.4
    certain = csm * (torch.rand(1, 1, 1, 10, 9, generator=rng) > 0.3)
    image, kspace = samples(rng, 1, 1, 10, 9), samples(rng, 1, 8, 10, 9) * mask.unsqueeze(1)
    filled = samples(rng, 1, 8, 10, 9)
    plain, known = (
        complete(image, certain, kspace, Grid(mask), fill=lambda: filled, noise=0.1, ahead=ahead)
        for ahead in (None, MapsAhead.of(csm).where(certain))
    )
    assert known.is_filled
    torch.testing.assert_close(known.image, plain.image)
    torch.testing.assert_close(known.share, plain.share)


@pytest.mark.parametrize("is_even", [True, False])
def test_shading_is_that_of_the_coils_as_they_came(rng, csm, is_even):
    """Where whitening turned and scaled all coils alike, lengths tell it; elsewhere the coils themselves."""
    turned = torch.linalg.qr(samples(rng, 12, 8))[0] * 3
    unmixing = turned if is_even else turned @ torch.diag(torch.linspace(1, 2, 8)).to(torch.complex64)
    expected = energy(compress(csm[:, 0], unmixing)).sqrt()
    torch.testing.assert_close(shading(csm, unmixing, MapsAhead.of(csm)), expected)
