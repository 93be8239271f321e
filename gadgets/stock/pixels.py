"""Pixels of an image: exchanged, checked."""

from __future__ import annotations

import numpy as np

from gadgets.errors import ScanError
from gadgets.mrd import ismrmrd


def with_pixels(image: ismrmrd.Image, pixels: np.ndarray, **header: int) -> ismrmrd.Image:
    """Return an image of `pixels` `(channel, z, y, x)` with the header and meta of `image`, but for `header`."""
    head = image.getHead()
    for name, value in header.items():
        setattr(head, name, value)
    return ismrmrd.Image(head, data=pixels, meta=ismrmrd.Meta(image.meta))


def require_finite(image: ismrmrd.Image, who: str) -> None:
    """Raise `ScanError` if a pixel is infinite or not a number: as an integer it would look like black tissue."""
    n_bad = image.data.size - np.count_nonzero(np.isfinite(image.data))
    if n_bad:
        raise ScanError(
            f"{who}: image {image.image_index} of series {image.image_series_index} has {n_bad} of "
            f"{image.data.size} pixels that are not finite"
        )
