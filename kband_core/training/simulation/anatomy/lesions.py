"""Random lesions and vessels: blobs, some of them faint and a few pixels across, which training must not wash out."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from kband_core.training.simulation.random_fields import between

MOST = 7
SMALL, LARGE = (1.0, 2.0), (2.0, 9.0)  # acquired pixels from the centre to the border
FAINT, PLAIN = (0.04, 0.2), (0.2, 0.9)  # by which part they are brighter or darker


def with_lesions(image: Tensor, rng: torch.Generator, *, finer: int) -> Tensor:
    """Make up to seven blobs of an image `(y, x)` brighter or darker; `finer` drawn pixels are an acquired one."""
    image = image.clone()
    for _ in range(int(torch.randint(MOST + 1, (), generator=rng))):
        radius = finer * between(*(SMALL if float(torch.rand((), generator=rng)) < 0.6 else LARGE), rng)
        change = between(*(FAINT if float(torch.rand((), generator=rng)) < 0.5 else PLAIN), rng)
        change = change if float(torch.rand((), generator=rng)) < 0.6 else -change
        centre = [between(0, n, rng) for n in image.shape]
        turn, ratio = between(0, math.pi, rng), between(0.5, 1, rng)
        softness = between(0.05, 0.4, rng)
        (top, bottom), (left, right) = (
            (max(int(middle - 2 * radius), 0), min(int(middle + 2 * radius) + 2, n))
            for middle, n in zip(centre, image.shape, strict=True)
        )
        rows = (torch.arange(top, bottom)[:, None] - centre[0]) / radius
        columns = (torch.arange(left, right) - centre[1]) / radius
        along = math.cos(turn) * rows + math.sin(turn) * columns
        across = (math.cos(turn) * columns - math.sin(turn) * rows) / ratio
        blob = torch.sigmoid((1 - torch.hypot(along, across)) / softness)
        image[top:bottom, left:right] *= 1 + change * blob
    return image
