"""Magnitude images scaled to a common brightness."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
import torch

from gadgets.gadget import Gadget, field
from gadgets.mrd import ismrmrd
from gadgets.stock.pixels import require_finite, with_pixels
from kband_core.pixel_range import BINS, percentile_99

log = logging.getLogger(__name__)


@dataclass
class AutoScale(Gadget):
    """Scale each magnitude image, by itself, so that its 99th percentile comes to `max_value`.

    The percentile is read off a histogram, as the stock gadget does: it lies within two bins above the true one. Other
    image types and complex images pass unchanged; an image of zeros does too, with a warning. Raises `ScanError` at a
    pixel that is not finite.
    """

    accepts: ClassVar[tuple[type, ...]] = (ismrmrd.Image,)
    emits: ClassVar[tuple[type, ...]] = (ismrmrd.Image,)
    twin_of: ClassVar[str] = "AutoScaleGadget"

    max_value: Annotated[float, field(gt=0, description="pixel value of the 99th percentile after scaling")] = 2048.0
    histogram_bins: Annotated[int, field(ge=1, le=65536, description="bins from 0 to the brightest pixel")] = BINS

    def process(self, images: Iterable[ismrmrd.Image]) -> Iterator[ismrmrd.Image]:
        for image in images:
            require_finite(image, "AutoScaleGadget")
            yield self._scaled(image)

    def _scaled(self, image: ismrmrd.Image) -> ismrmrd.Image:
        if image.image_type != ismrmrd.IMTYPE_MAGNITUDE or np.iscomplexobj(image.data):
            return image
        if image.data.max(initial=0) <= 0:
            log.warning("AutoScaleGadget: image %d of series %d is zero everywhere; it passes unscaled",
                        image.image_index, image.image_series_index)  # fmt: skip
            return image
        scale = self.max_value / percentile_99(torch.from_numpy(image.data), self.histogram_bins)
        return with_pixels(image, np.multiply(image.data, scale, dtype=np.float64).astype(np.float32))
