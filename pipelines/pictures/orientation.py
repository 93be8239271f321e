"""How pixels lie in the patient, and how a radiologist expects them. All in LPS: left, back and head are plus."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from gadgets.mrd import ismrmrd

PLUS, MINUS = "LPH", "RAF"
SECOND_LETTER = 0.4  # cosine from which an oblique edge has a second letter
DEGENERATE = 1e-3  # area that the two directions of a plane span, 1 if they are unit vectors at right angles
EXPECTED = (  # to the right and down in sagittal, coronal and axial pictures
    (np.array([0, 1, 0]), np.array([0, 0, -1])),
    (np.array([1, 0, 0]), np.array([0, 0, -1])),
    (np.array([1, 0, 0]), np.array([0, 1, 0])),
)


@dataclass(frozen=True)
class Geometry:
    """Where columns and rows increase to, in LPS, and the field of view `(x, y)` in mm, or None if it is not known."""

    across: tuple[float, ...]
    down: tuple[float, ...]
    fov: tuple[float, float] | None = None

    @classmethod
    def of(cls, header: ismrmrd.ImageHeader) -> Geometry:
        """Read it from an image header."""
        x, y, _ = header.field_of_view
        return cls(tuple(header.read_dir), tuple(header.phase_dir), (x, y) if x > 0 and y > 0 else None)


NOT_A_PLANE = Geometry((0.0, 0.0, 0.0), (0.0, 0.0, 0.0))  # of the patient: a sampling, an empty place


def radiological(pixels: np.ndarray, geometry: Geometry) -> tuple[np.ndarray, Geometry]:
    """Turn and mirror pixels `(y, x)` to how a radiologist reads them; those of unknown directions stay.

    Axial: the patient's left at the right, the front above. Coronal: left at the right, the head above. Sagittal: the
    front at the left, the head above. An oblique plane is shown as the nearest of the three.
    """
    normal = np.cross(geometry.across, geometry.down)
    if not np.linalg.norm(normal) > DEGENERATE:
        return pixels, geometry
    right, below = EXPECTED[int(np.argmax(np.abs(normal)))]
    across, down = np.array(geometry.across), np.array(geometry.down)
    fov = geometry.fov
    if abs(across @ below) + abs(down @ right) > abs(across @ right) + abs(down @ below) + DEGENERATE:
        pixels, across, down, fov = pixels.T, down, across, fov and fov[::-1]
    if across @ right < 0:
        pixels, across = pixels[:, ::-1], -across
    if down @ below < 0:
        pixels, down = pixels[::-1], -down
    return pixels, replace(geometry, across=tuple(across), down=tuple(down), fov=fov)


def edge_letters(geometry: Geometry) -> dict[str, str]:
    """Name the patient's sides at the four edges of an image: R, L, A, P, H or F.

    An oblique edge has its strongest direction first, then the second if its cosine exceeds 0.4. Directions of zero, as
    in a header that lacks them, have no letters.
    """
    across, down = np.asarray(geometry.across, float), np.asarray(geometry.down, float)
    return {"left": _letters(-across), "right": _letters(across), "top": _letters(-down), "bottom": _letters(down)}


def slice_position(header: ismrmrd.ImageHeader) -> str:
    """How far from the isocentre a slice lies along its normal, such as 'H 12.5 mm'; '' if directions are missing."""
    normal = np.cross(header.read_dir, header.phase_dir)
    area = np.linalg.norm(normal)
    distance = float(np.dot(normal, header.position)) / area if area > DEGENERATE else np.nan
    if not np.isfinite(distance):
        return ""
    axis = int(np.argmax(np.abs(normal)))
    distance = round(distance * float(np.sign(normal[axis])), 1)
    letter = f"{PLUS[axis] if distance > 0 else MINUS[axis]} " if distance else ""
    return f"{letter}{abs(distance):.1f} mm"


def _letters(direction: Sequence[float]) -> str:
    letters = ""
    for axis in np.argsort(-np.abs(direction), kind="stable")[:2]:
        if abs(direction[axis]) > SECOND_LETTER:
            letters += PLUS[axis] if direction[axis] > 0 else MINUS[axis]
    return letters
