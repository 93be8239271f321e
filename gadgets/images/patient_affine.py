"""Where in the patient each pixel of an image lies."""

from __future__ import annotations

import numpy as np

from gadgets.mrd import ismrmrd

AXES = ("read", "phase", "slice")
TOLERANCE = 1e-3  # of unit length and of right angles: headers hold single precision


def patient_affine(header: ismrmrd.ImageHeader) -> np.ndarray:
    """Return the affine `(4, 4)` from pixel indices (x, y, z, 1) to mm in LPS: left, back and head are plus.

    Whole indices are the centres of pixels. The header's `position` is the origin of the Fourier transform, which lies
    in the middle of pixel N//2 along each axis: with an even number of pixels half a pixel off the middle of the field
    of view. A single slice needs no slice direction; without one, that of read × phase is taken. Raises `ValueError`,
    naming what the header has, if directions are no unit vectors at right angles, or if a length is not positive.
    """
    sizes, lengths = np.array(header.matrix_size, int), np.array(header.field_of_view, float)
    if not (np.all(np.isfinite(lengths)) and np.all(lengths > 0) and np.all(sizes > 0)):
        raise ValueError(f"field of view {_listed(lengths)} mm of {_listed(sizes)} pixels, positive numbers expected")
    position = np.array(header.position, float)
    if not np.all(np.isfinite(position)):
        raise ValueError(f"position {_listed(position)} mm, finite numbers expected")
    affine = np.eye(4)
    affine[:3, :3] = _directions(header) * (lengths / sizes)
    affine[:3, 3] = position - affine[:3, :3] @ (sizes // 2)
    return affine


def _directions(header: ismrmrd.ImageHeader) -> np.ndarray:
    """Unit vectors of the three axes, as columns."""
    vectors = [np.array(getattr(header, f"{axis}_dir"), float) for axis in AXES]
    if header.matrix_size[2] == 1 and not np.any(vectors[2]):
        vectors[2] = np.cross(vectors[0], vectors[1])
    for axis, vector in zip(AXES, vectors, strict=True):
        if not abs(np.linalg.norm(vector) - 1) < TOLERANCE:
            raise ValueError(f"{axis} direction {_listed(vector)}, a unit vector expected")
    for one, other in ((0, 1), (1, 2), (0, 2)):
        if not abs(vectors[one] @ vectors[other]) < TOLERANCE:
            raise ValueError(
                f"{AXES[one]} direction {_listed(vectors[one])} and {AXES[other]} direction "
                f"{_listed(vectors[other])}, a right angle expected"
            )
    return np.stack([vector / np.linalg.norm(vector) for vector in vectors], axis=1)


def _listed(numbers: np.ndarray) -> str:
    return f"({', '.join(f'{number:g}' for number in numbers)})"
