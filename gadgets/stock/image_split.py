"""Image arrays taken apart into images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gadgets.gadget import Gadget
from gadgets.items import ImageArray
from gadgets.mrd import ismrmrd


@dataclass
class ImageArraySplit(Gadget):
    """Send the images of an array one by one: slices outermost, then s, then n. Single images pass unchanged."""

    accepts: ClassVar[tuple[type, ...]] = (ImageArray, ismrmrd.Image)
    emits: ClassVar[tuple[type, ...]] = (ismrmrd.Image,)
    twin_of: ClassVar[str] = "ImageArraySplitGadget"

    def process(self, items: Iterable[ImageArray | ismrmrd.Image]) -> Iterator[ismrmrd.Image]:
        for item in items:
            if isinstance(item, ismrmrd.Image):
                yield item
                continue
            data = item.data.numpy()
            for index in np.ndindex(item.headers.shape):
                pixels = np.ascontiguousarray(data[index], np.complex64)
                image = ismrmrd.Image(item.headers[index], data=pixels)
                image.attribute_string = (item.meta[index] or ismrmrd.Meta()).serialize()
                yield image
