"""From a buffer to labelled images: run a method, fall back if it fails, crop to the recon space, describe."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Annotated, Literal

import numpy as np
import torch
from torch import Tensor

from gadgets.errors import ScanError
from gadgets.gadget import field
from gadgets.images.image_header import ImageNumbers, image_header, image_meta
from gadgets.items import ImageArray, ReconBuffer, partitions_to_image
from gadgets.receiving.held_out_lines import judge
from gadgets.recon.completed import combined
from gadgets.recon.deadline import within
from gadgets.recon.verdict import consistency
from gadgets.scan import Encoding
from kband_core.fourier import interpolate, resize
from kband_core.reconstruct import check_image, zero_filled

log = logging.getLogger(__name__)

FAILURES = (ValueError, ArithmeticError, ScanError, MemoryError, RuntimeError)  # torch's are RuntimeErrors
OnFailure = Annotated[
    Literal["fallback", "raise"], field(description="fallback: a zero-filled image, marked; raise: end the scan")
]


Method = Callable[[ReconBuffer], Tensor]
COMBINED = "coil combination"  # what makes an image of which no line was left out
LAST_RESORT = "zero-filled"
Deadline = Annotated[float, field(gt=0, description="longest time for one image, s; then on_failure")]


class Reconstruction:
    """Turns buffers into image arrays for the gadget `who`."""

    def __init__(self, who: str, on_failure: OnFailure, deadline: float) -> None:
        self.who, self.on_failure, self.deadline = who, on_failure, deadline
        self._numbers = ImageNumbers()

    def images(self, buffer: ReconBuffer, methods: Mapping[str, Method]) -> ImageArray:
        """Make the images of `buffer`, one by one, by the first of `methods`, which have names.

        A method returns one image `(z, y, x)` on the encoded grid. Where one fails, the next makes the image, the last
        resort being zero-filling, and the image is marked as a fallback; `ScanError` with `on_failure="raise"`.
        """
        shape = buffer.headers.shape
        data, headers, meta = [], np.empty(shape, object), np.empty(shape, object)
        for index, line in np.ndenumerate(buffer.headers):
            if line is None:
                raise ScanError(f"{self.who}: image {index} (slice, s, n) of the buffer received no line")
            single = buffer.single(index)
            image, method, fallback = self._one(single, methods)
            data.append(to_recon_space(image, buffer.encoding, buffer.kspace.shape[-1]).cpu())
            number = self._numbers.number(line, buffer.encoding)
            headers[index] = image_header(line, buffer.encoding, image_index=number, is_fallback=fallback is not None)
            meta[index] = image_meta(
                headers[index], method=method, fallback=fallback, count=buffer.counts[index], problems=buffer.problems
            )
            meta[index]["kband_consistency"] = consistency(single)
            if method != LAST_RESORT:  # whose coils are not combined by the maps
                for name, value in self._judged(image, single).items():
                    meta[index][name] = value
        return ImageArray(torch.stack(data).unflatten(0, shape).unsqueeze(-4), headers, meta)

    def _one(self, buffer: ReconBuffer, methods: Mapping[str, Method]) -> tuple[Tensor, str, str | None]:
        failures: list[str] = []
        for name, method in methods.items():
            try:
                image = check_image(within(self.deadline, partial(method, buffer)))
                return image, name, self._reason(failures)
            except FAILURES as error:
                failures.append(f"{error}" if not failures else f"{name}: {error}")
                if self.on_failure == "raise":
                    raise ScanError(f"{self.who}: {error}") from error
        received = partitions_to_image(torch.nan_to_num(buffer.kspace[0, 0, 0]))
        return zero_filled(received), LAST_RESORT, self._reason(failures)

    def _judged(self, image: Tensor, buffer: ReconBuffer) -> dict[str, str]:
        try:
            return judge(image, buffer)
        except FAILURES as error:  # the image is there, whatever becomes of its figure
            log.warning("%s: the held-out lines cannot judge the image: %s", self.who, error)
            return {}

    def _reason(self, failures: list[str]) -> str | None:
        if not failures:
            return None
        reason = f"{self.who}: {'; '.join(failures)}"
        log.warning("%s; the image is made otherwise and marked", reason)
        return reason


def combine_coils(buffer: ReconBuffer) -> Tensor:
    """Make the image `(z, y, x)` of a fully sampled buffer: transform, combine by its maps, if any, else by RSS."""
    return combined(buffer)


def maps_of(buffer: ReconBuffer) -> Tensor:
    """Return the maps `(z, set, coil, y, x)` of a single image. Raises `ValueError`, saying why there are none."""
    if buffer.csm is None:
        none = "no coil maps: CoilSensitivities is missing before it"
        raise ValueError(buffer.problems[-1] if buffer.problems else none)
    return buffer.csm[0]


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
