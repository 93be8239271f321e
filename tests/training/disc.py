"""A plane of a disc, and an example of it: what a network sees and is judged by."""

import torch

from kband_core.operators import predicted_kspace
from kband_core.training.dataset import Plane
from kband_core.training.supervision import build_supervision

SHAPE = (48, 40)


def make_plane(mask=None, angle=None, noise=0.01, band_acceleration=4.0):
    """A disc of brightness 1 with three coils and noise, acquired where `mask` says; a band, if it has an angle."""
    rng = torch.Generator().manual_seed(5)
    y, x = (torch.linspace(-1, 1, n) for n in SHAPE)
    y, x = y[:, None], x[None]
    image = (x**2 + y**2 < 0.6).to(torch.complex64)
    csm = torch.stack([torch.exp(-((y - a) ** 2) - (x - b) ** 2) for a, b in ((-1, 0), (0.5, 1), (0.5, -1))])
    csm = (csm / csm.norm(dim=0)).to(torch.complex64)[None]
    kspace = predicted_kspace(image[None], csm)
    kspace = kspace + noise * torch.randn(kspace.shape, dtype=kspace.dtype, generator=rng)
    mask = torch.ones(SHAPE[0], 1, dtype=torch.bool) if mask is None else mask
    band = None if angle is None else band_acceleration
    return Plane(kspace * mask, mask, csm, subject="a", angle=angle, band_acceleration=band), image


def make_example(name, plane=None, angle=30.0, seed=0, **options):
    options = {"line_acceleration": 3.0, "acs_lines": 8, **options}
    rng = torch.Generator().manual_seed(seed)
    return build_supervision(name, **options)(make_plane()[0] if plane is None else plane, rng, angle)
