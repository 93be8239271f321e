"""Complex images turned into several series of real ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np

from gadgets.errors import PipelineError
from gadgets.gadget import Gadget, field
from gadgets.images.series import PARTS
from gadgets.mrd import ismrmrd
from gadgets.scan import Scan
from gadgets.stock.pixels import with_pixels


@dataclass
class Extract(Gadget):
    """Send each complex image as one float32 image for every part asked for, in the order of MRD's image types.

    Real, imaginary and phase images go to the series 1000, 2000 and 3000 above. Phase runs from 0 to 2π here, which the
    conversion to integers clips: use ComplexToFloatGadget where phase is to become integers. Images that are not
    complex pass unchanged.
    """

    accepts: ClassVar[tuple[type, ...]] = (ismrmrd.Image,)
    emits: ClassVar[tuple[type, ...]] = (ismrmrd.Image,)
    twin_of: ClassVar[str] = "ExtractGadget"

    extract_mask: Annotated[
        int, field(ge=0, le=15, description="further parts, as a sum: magnitude 1, real 2, imaginary 4, phase 8")
    ] = 0
    extract_magnitude: Annotated[bool, field(description="send the magnitude")] = True
    extract_real: Annotated[bool, field(description="send the real part")] = False
    extract_imag: Annotated[bool, field(description="send the imaginary part")] = False
    extract_phase: Annotated[bool, field(description="send the phase, 0 to 2π radians")] = False
    real_imag_offset: Annotated[float, field(description="added to real and imaginary parts, in pixel values")] = 0.0

    def open(self, scan: Scan) -> None:
        """Check that there is a part to send."""
        if not self._parts():
            raise PipelineError("ExtractGadget: no part of the image to extract; set extract_magnitude or another")

    def process(self, images: Iterable[ismrmrd.Image]) -> Iterator[ismrmrd.Image]:
        for image in images:
            if not np.iscomplexobj(image.data):
                yield image
                continue
            for image_type in self._parts():
                series = image.image_series_index + PARTS[image_type]
                pixels = self._part(image.data, image_type).astype(np.float32)
                yield with_pixels(image, pixels, image_type=image_type, image_series_index=series)

    def _parts(self) -> list[int]:
        wanted = {
            ismrmrd.IMTYPE_MAGNITUDE: self.extract_magnitude or self.extract_mask & 1,
            ismrmrd.IMTYPE_PHASE: self.extract_phase or self.extract_mask & 8,
            ismrmrd.IMTYPE_REAL: self.extract_real or self.extract_mask & 2,
            ismrmrd.IMTYPE_IMAG: self.extract_imag or self.extract_mask & 4,
        }
        return [image_type for image_type, yes in wanted.items() if yes]

    def _part(self, pixels: np.ndarray, image_type: int) -> np.ndarray:
        if image_type == ismrmrd.IMTYPE_MAGNITUDE:
            return np.abs(pixels)
        if image_type == ismrmrd.IMTYPE_PHASE:
            return np.angle(pixels) + np.pi
        return (pixels.real if image_type == ismrmrd.IMTYPE_REAL else pixels.imag) + self.real_imag_offset
