"""How strong the ghost of an echo-planar image is, half a field of view away from the object."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

OBJECT = 0.15  # of the way from the darkest to the brightest pixels: what is above belongs to the object
DARKEST, BRIGHTEST = 0.02, 0.99  # quantiles that stand for them: many coils make a bright background
GROWN, SHRUNK = 3, 2  # pixels: the object with its blurred edge; by how much less makes a ghost for certain
FEWEST = 16  # pixels of a region that tell anything


def ghost_level(image: Tensor, mask: Tensor) -> float | None:
    """Return the ghost over the object, √(RMS² of the ghost's place − RMS² of the background) / mean of the object.

    The ghost's place is the object, moved by half the field of view along y, where it does not meet the object itself.
    `image` real `(y, x)` of a fully sampled scan; `mask` its object, best told from the image with the least ghost.
    None where object and ghost leave no such place, or no background.
    """
    half, grown = image.shape[-2] // 2, _dilated(mask, GROWN)
    place = torch.roll(~_dilated(~grown, SHRUNK), half, dims=-2) & ~grown
    background = ~grown & ~torch.roll(grown, half, dims=-2)
    if min(int(region.sum()) for region in (mask, place, background)) < FEWEST:
        return None
    power = image[place].square().mean() - image[background].square().mean()
    return float(power.clamp(min=0).sqrt() / image[mask].mean())


def object_mask(image: Tensor) -> Tensor:
    """Tell where the object is: what is bright, its holes filled; bool `(y, x)`."""
    darkest, brightest = torch.quantile(image.flatten(), torch.tensor([DARKEST, BRIGHTEST]))
    return filled(image > darkest + OBJECT * (brightest - darkest))


def filled(mask: Tensor) -> Tensor:
    """Fill the holes of a mask `(y, x)`: what cannot be reached from outside."""
    outside = torch.nn.functional.pad(torch.zeros_like(mask), (1, 1, 1, 1), value=True)
    free = torch.nn.functional.pad(~mask, (1, 1, 1, 1), value=True)
    while True:
        grown = _cross(outside) & free
        if torch.equal(grown, outside):
            return ~outside[1:-1, 1:-1]
        outside = grown


def _dilated(mask: Tensor, n_pixels: int) -> Tensor:
    for _ in range(n_pixels):
        mask = _cross(mask)
    return mask


def _cross(mask: Tensor) -> Tensor:
    """The mask and its four neighbours."""
    values = mask[None, None].float()
    along_y, along_x = max_pool2d(values, (3, 1), 1, (1, 0)), max_pool2d(values, (1, 3), 1, (0, 1))
    return torch.maximum(along_y, along_x)[0, 0] > 0
