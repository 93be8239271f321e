"""The end of a chain that makes images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

from gadgets.gadget import Gadget
from gadgets.mrd import ismrmrd


@dataclass
class ImageFinish(Gadget):
    """Hand on every image to the host, unchanged."""

    accepts: ClassVar[tuple[type, ...]] = (ismrmrd.Image,)
    emits: ClassVar[tuple[type, ...]] = (ismrmrd.Image,)
    twin_of: ClassVar[str] = "ImageFinishGadget"

    def process(self, images: Iterable[ismrmrd.Image]) -> Iterator[ismrmrd.Image]:
        yield from images
