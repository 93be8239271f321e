"""Lines of one image are read in one direction; blades that turn are no rows of a matrix."""

from __future__ import annotations

import math

from gadgets.errors import ScanError
from gadgets.mrd import ismrmrd
from gadgets.receiving.image_lines import ImageKey

TURNED = 5.0  # degrees: narrow blades of PROPELLER turn by 7, corrections of a moving head and rounding by less


BLADES = (
    ", as the blades of PROPELLER do, and no Cartesian grid has a place for them; a trajectory that comes with the "
    "lines, and a header that says so, would be needed"
)


class ReadoutDirections:
    """The direction in which the first line of each image was read, for `who`. Images may differ in theirs.

    `objection`: what is wrong with lines that turn within one.
    """

    def __init__(self, who: str, objection: str = BLADES) -> None:
        self._who, self._objection = who, objection
        self._first: dict[ImageKey, tuple[float, ...]] = {}

    def check(self, line: ismrmrd.Acquisition, key: ImageKey) -> None:
        """Raise `ScanError` where a line is turned against the first one of its image. No direction is no turn."""
        length = math.hypot(*line.read_dir)
        if length == 0:
            return
        direction = tuple(part / length for part in line.read_dir)
        first = self._first.setdefault(key, direction)
        cosine = sum(one * other for one, other in zip(first, direction, strict=True))
        angle = math.degrees(math.acos(min(max(cosine, -1.0), 1.0)))
        if angle > TURNED:
            raise ScanError(f"{self._who}: readouts turn by {angle:.1f}° within the image of {key}{self._objection}")

    def forget(self, key: ImageKey) -> None:
        """Forget an image that has left."""
        self._first.pop(key, None)
