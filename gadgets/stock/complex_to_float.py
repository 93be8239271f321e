"""Complex images turned into the real images their headers ask for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gadgets.gadget import Gadget
from gadgets.mrd import ismrmrd
from gadgets.stock.pixels import with_pixels

PARTS = {
    ismrmrd.IMTYPE_MAGNITUDE: np.abs,
    ismrmrd.IMTYPE_PHASE: np.angle,
    ismrmrd.IMTYPE_REAL: np.real,
    ismrmrd.IMTYPE_IMAG: np.imag,
}


@dataclass
class ComplexToFloat(Gadget):
    """Take the magnitude, phase (−π to π), real or imaginary part, as the header's image type says, in float32.

    An image of any other type becomes a magnitude image. Images that are not complex pass unchanged.
    """

    accepts: ClassVar[tuple[type, ...]] = (ismrmrd.Image,)
    emits: ClassVar[tuple[type, ...]] = (ismrmrd.Image,)
    twin_of: ClassVar[str] = "ComplexToFloatGadget"

    def process(self, images: Iterable[ismrmrd.Image]) -> Iterator[ismrmrd.Image]:
        for image in images:
            if not np.iscomplexobj(image.data):
                yield image
                continue
            image_type = image.image_type if image.image_type in PARTS else ismrmrd.IMTYPE_MAGNITUDE
            yield with_pixels(image, PARTS[image_type](image.data).astype(np.float32), image_type=image_type)
