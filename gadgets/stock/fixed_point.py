"""Real images turned into the 12-bit integers of DICOM."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np

from gadgets.errors import PipelineError, ScanError
from gadgets.gadget import Gadget, field
from gadgets.mrd import ismrmrd
from gadgets.scan import Scan
from gadgets.stock.pixels import require_finite, with_pixels

WINDOW_CENTERS = ("GADGETRON_WindowCenter", "WindowCenter")
SIGNED_PARTS = (ismrmrd.IMTYPE_REAL, ismrmrd.IMTYPE_IMAG)


@dataclass
class FloatToUShort(Gadget):
    """Turn float images into uint16: clamped first, then rounded.

    Magnitude stands as it is. Real and imaginary parts are lifted by `intensity_offset`, and a window centre in the
    meta with them. Phase −π to π takes 0 to twice the offset. Images that are not float pass unchanged. Raises
    `ScanError` at a pixel that is not finite.
    """

    accepts: ClassVar[tuple[type, ...]] = (ismrmrd.Image,)
    emits: ClassVar[tuple[type, ...]] = (ismrmrd.Image,)
    twin_of: ClassVar[str] = "FloatToUShortGadget"

    max_intensity: Annotated[int, field(ge=0, le=32767, description="largest pixel value; clamps")] = 4095
    min_intensity: Annotated[int, field(ge=0, le=32767, description="smallest pixel value; clamps")] = 0
    intensity_offset: Annotated[
        int, field(ge=0, le=32767, description="pixel value of zero in real, imaginary and phase images")
    ] = 2048

    def open(self, scan: Scan) -> None:
        """Check that the range of pixel values is one."""
        if self.min_intensity > self.max_intensity:
            raise PipelineError(
                f"FloatToUShortGadget: min_intensity {self.min_intensity} is above max_intensity {self.max_intensity}"
            )

    def process(self, images: Iterable[ismrmrd.Image]) -> Iterator[ismrmrd.Image]:
        for image in images:
            if not np.issubdtype(image.data.dtype, np.floating):
                yield image
                continue
            require_finite(image, "FloatToUShortGadget")
            clamped = np.clip(self._lifted(image), self.min_intensity, self.max_intensity)
            converted = with_pixels(image, np.floor(clamped + 0.5).astype(np.uint16))
            if image.image_type in SIGNED_PARTS:
                _lift_windows(converted.meta, self.intensity_offset)
            yield converted

    def _lifted(self, image: ismrmrd.Image) -> np.ndarray:
        pixels = image.data.astype(np.float64)
        if image.image_type == ismrmrd.IMTYPE_MAGNITUDE:
            return np.abs(pixels)
        if image.image_type in SIGNED_PARTS:
            return pixels + self.intensity_offset
        if image.image_type == ismrmrd.IMTYPE_PHASE:
            return (pixels / np.pi + 1) * self.intensity_offset
        raise ScanError(
            f"FloatToUShortGadget: image {image.image_index} of series {image.image_series_index} has image type "
            f"{image.image_type}, expected 1 (magnitude), 2 (phase), 3 (real) or 4 (imaginary)"
        )


def _lift_windows(meta: ismrmrd.Meta, offset: int) -> None:
    for name in WINDOW_CENTERS:
        if name in meta:
            given = meta[name]
            try:
                center = float(given[0] if isinstance(given, list) else given)
                meta[name] = str(int(center) + offset)
            except (TypeError, ValueError, OverflowError) as error:
                raise ScanError(f"FloatToUShortGadget: {name} in an image's meta is '{given}', not a number") from error
