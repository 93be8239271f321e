"""Which image explains better what it was not made of."""

import pytest
import torch

from kband_core.coils import coil_images
from kband_core.density import radial_density
from kband_core.held_out_spokes import unexplained
from kband_core.nufft import nufft
from kband_core.sampling import Trajectory
from kband_core.trajectories import spokes

pytest.importorskip("finufft")


def scan(n_spokes: int, rng):
    coords = spokes(torch.linspace(0, 3.14159, n_spokes + 1, dtype=torch.float64)[:-1], 48)
    csm = torch.ones(1, 2, 24, 24) / 2**0.5 + 0j
    image = torch.randn(1, 24, 24, dtype=torch.complex64, generator=rng)
    return nufft(coil_images(image, csm), coords), Trajectory(coords, radial_density(coords)), csm, image


def test_the_true_image_explains_all_and_none_nothing(rng):
    """0 and 1; the ways are shown seven of eight spokes."""
    kspace, sampling, csm, image = scan(32, rng)
    shown = []

    def true(kspace, sampling, csm):
        shown.append((kspace.shape[1], sampling.shape[0]))
        return image

    errors = unexplained([true, lambda *_: torch.zeros_like(image)], kspace, sampling, csm)
    assert errors == pytest.approx([0, 1], abs=1e-4)
    assert shown == [(28, 28)]


def test_too_few_spokes_tell_nothing(rng):
    """One sentence."""
    with pytest.raises(ValueError, match=r"^held-out spokes: 4 spokes, at least 5 needed$"):
        unexplained([], *scan(4, rng)[:3])
