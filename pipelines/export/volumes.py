"""Images of a series stacked into volumes, for formats that hold more than planes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gadgets.images.patient_affine import patient_affine
from gadgets.mrd import ismrmrd
from gadgets.mrd_header import COUNTERS

APART = 0.01  # mm by which a slice may lie off the place that even spacing gives it
TIMES = tuple(counter for counter in COUNTERS if counter != "slice")


@dataclass(frozen=True)
class Volume:
    """`pixels` `(t, z, y, x)` and the affine from (x, y, z, 1) to mm in LPS; `images[t][z or 0]` they were taken from.

    `affine` is None where no header tells.
    """

    pixels: np.ndarray
    affine: np.ndarray | None
    images: list[list[ismrmrd.Image]]


def volumes(images: list[ismrmrd.Image], pixels_of: dict[int, np.ndarray]) -> list[Volume]:
    """Stack images of one series; `pixels_of` holds the pixels `(z, y, x)` of each by its `id`.

    Slices of one time, sorted along their normal, are a volume if they lie evenly spaced behind one another; times, in
    the order of the other counters, are stacked if their slices lie in the same places. What does not fit stands alone.
    """
    by_time: dict[tuple, list[ismrmrd.Image]] = {}
    for image in images:
        by_time.setdefault((image.data.shape, *(getattr(image, name) for name in TIMES)), []).append(image)
    stacks: list[Volume] = []
    for _, of_time in sorted(by_time.items(), key=lambda item: item[0]):
        here = _stacks(of_time, pixels_of)
        if len(here) == 1 and stacks and _same_place(stacks[-1], here[0]):
            last, (new,) = stacks.pop(), here
            here = [Volume(np.concatenate([last.pixels, new.pixels]), last.affine, last.images + new.images)]
        stacks += here
    return stacks


def _stacks(images: list[ismrmrd.Image], pixels_of: dict[int, np.ndarray]) -> list[Volume]:
    """One volume of all slices, or, where they are not evenly spaced, each by itself."""
    affines = {id(image): _affine(image) for image in images}
    alone = [Volume(pixels_of[id(image)][None], affines[id(image)], [[image]]) for image in images]
    if len(images) == 1 or any(affine is None for affine in affines.values()) or images[0].data.shape[1] > 1:
        return alone
    normal = affines[id(images[0])][:3, 2]
    images = sorted(images, key=lambda image: float(normal @ affines[id(image)][:3, 3]))
    first, last = affines[id(images[0])], affines[id(images[-1])]
    step = (last[:3, 3] - first[:3, 3]) / (len(images) - 1)
    if np.linalg.norm(step) < APART or np.linalg.norm(np.cross(step, normal)) > APART * np.linalg.norm(normal):
        return alone
    for number, image in enumerate(images):
        expected = first.copy()
        expected[:3, 3] += number * step
        if not np.allclose(affines[id(image)], expected, atol=APART):
            return alone
    affine = first.copy()
    affine[:3, 2] = step
    return [Volume(np.concatenate([pixels_of[id(image)] for image in images])[None], affine, [images])]


def _same_place(one: Volume, other: Volume) -> bool:
    if one.pixels.shape[1:] != other.pixels.shape[1:] or one.affine is None or other.affine is None:
        return False
    return np.allclose(one.affine, other.affine, atol=APART)


def _affine(image: ismrmrd.Image) -> np.ndarray | None:
    try:
        return patient_affine(image.getHead())
    except ValueError:
        return None
