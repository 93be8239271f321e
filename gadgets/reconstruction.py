"""From a buffer to labelled images: run a method, fall back if it fails, crop to the recon space, describe."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Annotated, Literal

import numpy as np
import torch
from torch import Tensor

from gadgets.deadline import within
from gadgets.errors import ScanError
from gadgets.gadget import field
from gadgets.image_header import ImageNumbers, image_header, image_meta
from gadgets.items import ImageArray, ReconBuffer, partitions_to_image
from gadgets.scan import Encoding
from kband_core.fourier import interpolate, resize
from kband_core.reconstruct import check_image, zero_filled

log = logging.getLogger(__name__)

FAILURES = (ValueError, ArithmeticError, ScanError, MemoryError, RuntimeError)  # torch's are RuntimeErrors
OnFailure = Annotated[
    Literal["fallback", "raise"], field(description="fallback: a zero-filled image, marked; raise: end the scan")
]


Deadline = Annotated[float, field(gt=0, description="longest time for one image, s; then on_failure")]


class Reconstruction:
    """Turns buffers into image arrays for one gadget: `who` asks, `method` names what it makes."""

    def __init__(self, who: str, method: str, on_failure: OnFailure, deadline: float) -> None:
        self.who, self.method, self.on_failure, self.deadline = who, method, on_failure, deadline
        self._numbers = ImageNumbers()

    def images(self, buffer: ReconBuffer, reconstruct: Callable[[ReconBuffer], Tensor]) -> ImageArray:
        """Make the images of `buffer`, one by one: `reconstruct` returns one `(z, y, x)` on the encoded grid.

        Where it fails, the image is zero-filled and marked as a fallback, or `ScanError` with `on_failure="raise"`.
        """
        shape = buffer.headers.shape
        data, headers, meta = [], np.empty(shape, object), np.empty(shape, object)
        for index, line in np.ndenumerate(buffer.headers):
            if line is None:
                raise ScanError(f"{self.who}: image {index} (slice, s, n) of the buffer received no line")
            single = buffer.single(index)
            image, method, fallback = self._one(single, reconstruct)
            data.append(to_recon_space(image, buffer.encoding, buffer.kspace.shape[-1]).cpu())
            number = self._numbers.number(line, buffer.encoding)
            headers[index] = image_header(
                line, buffer.encoding, image_index=number, is_fallback=fallback is not None
            )
            meta[index] = image_meta(
                headers[index], method=method, fallback=fallback, count=buffer.counts[index], problems=buffer.problems
            )
        return ImageArray(torch.stack(data).unflatten(0, shape).unsqueeze(-4), headers, meta)

    def _one(self, buffer: ReconBuffer, reconstruct: Callable[[ReconBuffer], Tensor]) -> tuple[Tensor, str, str | None]:
        try:
            return check_image(within(self.deadline, lambda: reconstruct(buffer))), self.method, None
        except FAILURES as error:
            reason = f"{self.who}: {error}"
            if self.on_failure == "raise":
                raise ScanError(reason) from error
            log.warning("%s; the image is zero-filled and marked", reason)
        received = partitions_to_image(torch.nan_to_num(buffer.kspace[0, 0, 0]))
        return zero_filled(received), "zero-filled", reason


def to_recon_space(image: Tensor, encoding: Encoding, n_samples: int) -> Tensor:
    """Resample and crop images `(..., z, y, x)` from the encoded to the recon space.

    The pixel size follows from zero-padding or cropping k-space, the field of view from cropping or padding the image.
    `n_samples` along the readout tells whether its oversampling was removed before.
    """
    samples, _, partitions = encoding.encoded_matrix
    fov = (encoding.encoded_fov[0] * n_samples / samples, *encoding.encoded_fov[1:])
    for axis, dim in enumerate((-1, -2, -3)):
        if axis == 2 and partitions == 1:
            continue
        matrix = encoding.recon_matrix[axis]
        length = max(round(matrix * fov[axis] / encoding.recon_fov[axis]), 1)
        if length != image.shape[dim]:
            image = interpolate(image, [length], [dim])
        if matrix != length:
            image = resize(image, [matrix], [dim])
    return image
