"""A slice of a real head in a random contrast: what a training scan is made of where its recipe says `anatomy`."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from kband_core.training.simulation.anatomy.contrasts import random_signals
from kband_core.training.simulation.anatomy.heads import anatomy
from kband_core.training.simulation.anatomy.lesions import with_lesions
from kband_core.training.simulation.anatomy.slices import random_slice
from kband_core.training.simulation.random_fields import between, rough_field

# T1-weighted intensity → tissue. Between two of them a voxel holds both, so partial volume, and with it the texture of
# the real head, comes out in every contrast.
WITHIN = ((0, "air"), (15, "bone"), (35, "fluid"), (83, "grey"), (113, "white"), (255, "white"))
OUTSIDE = ((0, "air"), (8, "air"), (20, "bone"), (65, "muscle"), (180, "fat"), (255, "fat"))
COLIN = 0.65  # share of slices of Colin's own head
WHITE = 113


def anatomical_head(shape: tuple[int, int], rng: torch.Generator, *, finer: int) -> Tensor:
    """Draw a slice of a head, real `(y, x)`, zero in air; `finer` of its pixels are an acquired one.

    Tissue by T1-weighted intensity, its brightness by the signal equation of a random sequence; in half of the slices
    mixed with the T1-weighted image itself. Raises `ValueError` where the anatomy is not installed.
    """
    head = anatomy().colin if float(torch.rand((), generator=rng)) < COLIN else anatomy().average
    intensity, cranial = random_slice(head, shape, rng)
    signals = {"air": 0.0, **random_signals(rng)}
    scalp = {**signals, **{name: signals[name] * math.exp(between(-0.4, 0.4, rng)) for name in ("fat", "muscle")}}
    image = torch.lerp(_looked_up(intensity, OUTSIDE, scalp), _looked_up(intensity, WITHIN, signals), cranial)
    if float(torch.rand((), generator=rng)) < 0.5:
        image = torch.lerp(image, intensity / WHITE, between(0, 1, rng))
    if float(torch.rand((), generator=rng)) < 0.5:  # below the voxels of 1 mm
        image = image * (1 + between(0, 0.06, rng) * rough_field(shape, between(0.3, 1.5, rng), rng)).clamp(min=0)
    return with_lesions(image, rng, finer=finer).clamp(min=0)


def _looked_up(intensity: Tensor, knots: tuple[tuple[int, str], ...], signals: dict[str, float]) -> Tensor:
    """Interpolate linearly between the signals of tissues at their intensities."""
    at = torch.tensor([float(place) for place, _ in knots])
    value = torch.tensor([signals[name] for _, name in knots])
    above = torch.bucketize(intensity, at[1:-1]) + 1
    share = (intensity - at[above - 1]) / (at[above] - at[above - 1])
    return torch.lerp(value[above - 1], value[above], share)
