"""From buffers to labelled images: the first choice, what it falls back to, and marks that tell them apart."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal

import numpy as np
import torch
from torch import Tensor

from gadgets.bands import Bands
from gadgets.errors import ScanError
from gadgets.gadget import Limit, field, unlimited
from gadgets.images.image_header import ImageNumbers, image_header, image_meta
from gadgets.images.quantitative import Quantity
from gadgets.items import Calibration, ImageArray, ReconBuffer
from gadgets.mrd import ismrmrd
from gadgets.receiving.held_out_lines import judge
from gadgets.recon.combination import CoilCombination, ZeroFilled
from gadgets.recon.map_series import MapSeries
from gadgets.recon.partial_fourier import PartialFourier, fill_partial_fourier
from gadgets.recon.recon_space import ReconSpace
from gadgets.recon.reconstruction import Map, Method, Reconstruction, Refusal
from gadgets.recon.verdict import LineVerdict
from kband_core.pixel_range import n_beyond_range
from kband_core.plural import counted
from kband_core.reconstruct import check_image

log = logging.getLogger(__name__)

FAILURES = (ValueError, ArithmeticError, ScanError, MemoryError, RuntimeError)  # torch's are RuntimeErrors
ZERO_FILLED = ZeroFilled()
OnFailure = Annotated[
    Literal["fallback", "raise"],
    field(description="fallback: another image, zero-filled at last, marked; raise: end the scan"),
]
Deadline = Annotated[float, field(gt=0, description="longest time for one image, s; then on_failure")]
PLANES = 16  # (kz, ky) of a volume, for which it has that time: a whole one takes minutes on a CPU


@dataclass
class Reconstructor:
    """Turns buffers into image arrays for the gadget `who`, each image by the first of `methods` that can make it.

    What another than the first has made is marked as a fallback; the last one is `last_resort`. With
    `on_failure="raise"` there is no other. `combines` tells of which single images no line was left out: their coils
    are combined, and that is all. `limit` holds each method to `deadline` seconds an image; a volume that is
    undersampled along ky and kz has as many for every 16 x.
    """

    who: str
    methods: Sequence[Method]
    combines: Callable[[ReconBuffer], bool]
    on_failure: OnFailure = "fallback"
    deadline: float = 60.0
    limit: Limit = unlimited
    quantities: Sequence[Quantity] = ()
    partial_fourier: PartialFourier = "auto"
    last_resort: Method = ZERO_FILLED

    def __post_init__(self) -> None:
        self._numbers = ImageNumbers()
        self._verdict = LineVerdict()

    def process(self, items: Iterable[Calibration | ReconBuffer]) -> Iterator[ImageArray]:
        """Let the first method prepare at each calibration, emit the images of each buffer; maps of `quantities` follow
        when many wait, or at the end. Raises `ScanError`, at the end if maps could not be made.
        """
        behind = MapSeries(self.who, self.quantities)
        for item in items:
            if isinstance(item, Calibration):
                self._prepare(item)
                continue
            images, maps = self._images(item)
            yield images
            yield from behind.add(images, maps, item)
        yield from behind.rest()

    def _prepare(self, item: Calibration) -> None:
        self._verdict.prepare(item)
        if item.encoding.total_acceleration == 1:
            return
        try:
            self.methods[0].prepare(item)
        except FAILURES as error:  # the image meets it again, and says so
            log.warning("%s: %s", self.who, error)

    def _images(self, buffer: ReconBuffer) -> tuple[ImageArray, list[Mapping[str, Map]]]:
        shape = buffer.headers.shape if buffer.bands is None else (len(buffer.bands.slices), 1, 1)
        data, maps, space = [], [], ReconSpace.of(buffer)
        headers, meta = np.empty(shape, object), np.empty(shape, object)
        for index, line in np.ndenumerate(buffer.headers):
            if line is None:
                raise ScanError(f"{self.who}: image {index} (slice, s, n) of the buffer received no line")
            single = buffer.single(index)
            one = self._one(single, space)
            made, fallback = one.made, one.fallback
            maps.append(made.maps)
            is_judged = "kband_consistency" in made.notes  # by the method itself, which knows more
            notes = [made.notes, buffer.notes, _sampled(single), one.filling, self._judged(made, single),
                     {} if is_judged else self._verdict.notes(single)]  # fmt: skip
            for image, shown in _apart(one.pixels, line, buffer.bands):
                at = len(data)
                data.append(image)
                number = self._numbers.number(shown, buffer.encoding)
                header = image_header(shown, buffer.encoding, image_index=number, is_fallback=fallback is not None)
                headers.flat[at], meta.flat[at] = header, image_meta(
                    header, method=one.label, fallback=fallback, count=buffer.counts[index],
                    problems=buffer.problems, notes=_together(*notes, _clipped(image)),
                )  # fmt: skip
        return ImageArray(torch.stack(data).unflatten(0, shape).unsqueeze(-4), headers, meta), maps

    def _one(self, buffer: ReconBuffer, space: ReconSpace) -> _One:
        """Make a single image by the first method that can."""
        failures: list[str] = []
        for method in self._methods_for(buffer):
            try:
                made = self.limit(self._time_for(buffer), partial(method.reconstruct, buffer))
                made, filling = self._filled(made, buffer, method)
                pixels = check_image(space.shown(made.image).cpu())  # there, so that a GPU is waited for once
                return _One(made, pixels, filling, method.label, self._reason(failures))
            except Refusal as error:
                raise ScanError(f"{self.who}: {error}") from error
            except FAILURES as error:
                failures.append(f"{error}" if not failures else f"{method.label}: {error}")
                if self.on_failure == "raise":
                    raise ScanError(f"{self.who}: {error}") from error
        made, filling = self._filled(self.last_resort.reconstruct(buffer), buffer, self.last_resort)
        return _One(made, space.shown(made.image).cpu(), filling, self.last_resort.label, self._reason(failures))

    def _filled(
        self, made: Reconstruction, buffer: ReconBuffer, method: Method
    ) -> tuple[Reconstruction, dict[str, str]]:
        try:
            return fill_partial_fourier(made, buffer, self.partial_fourier, by=method)
        except FAILURES as error:  # such as a lack of memory: the image is there, and says what it lacks
            if self.on_failure == "raise":
                raise
            said = f"not filled ({error})"
            return made, {"kband_partial_fourier": said, "ImageComments": f"partial Fourier {said}"}

    def _time_for(self, buffer: ReconBuffer) -> float:
        return self.deadline * max(buffer.kspace.shape[4] / PLANES, 1) if buffer.turned else self.deadline

    def _methods_for(self, buffer: ReconBuffer) -> Sequence[Method]:
        try:
            return [CoilCombination()] if self.combines(buffer) else self.methods
        except FAILURES:  # the first method meets it again, and its image says so
            return self.methods

    def _judged(self, made: Reconstruction, buffer: ReconBuffer) -> dict[str, str]:
        try:
            return {} if made.coil_image is None else judge(made.coil_image, buffer)
        except FAILURES as error:  # the image is there, whatever becomes of its figure
            log.warning("%s: the held-out lines cannot judge the image: %s", self.who, error)
            return {}

    def _reason(self, failures: list[str]) -> str | None:
        if not failures:
            return None
        reason = f"{self.who}: {'; '.join(failures)}"
        log.warning("%s; the image is made otherwise and marked", reason)
        return reason


@dataclass(frozen=True)
class _One:
    """A single image: what was made of it, its pixels `(z, y, x)` on the CPU, what is said of one side that was filled,
    what it is called, and why it is a fallback, if it is."""

    made: Reconstruction
    pixels: Tensor
    filling: Mapping[str, str]
    label: str
    fallback: str | None


def _apart(
    image: Tensor, line: ismrmrd.AcquisitionHeader, bands: Bands | None
) -> Iterable[tuple[Tensor, ismrmrd.AcquisitionHeader]]:
    """Images `(z, y, x)`, each with the header of its line: one, or one for each slice that was excited at once."""
    return [(image, line)] if bands is None else zip(image.split(1), bands.headers(line), strict=True)


def _sampled(buffer: ReconBuffer) -> dict[str, str]:
    """All lines over those acquired, calibration lines that serve the image included: whatever the header says. A line
    of several slices at once is a part of one for each.
    """
    n_slices = 1 if buffer.bands is None else len(buffer.bands.slices)
    try:
        return {"kband_acceleration": f"{n_slices * buffer.plane_sampling.acceleration():.2f}"}
    except ValueError:  # along a trajectory there is no such figure
        return {}


def _clipped(image: Tensor) -> dict[str, str]:
    """Say how many pixels are too bright for twelve bits, if any are: the scanner's own gadgets clip without a word."""
    n_clipped = n_beyond_range(image.abs())
    if not n_clipped:
        return {}
    said = f"{counted(n_clipped, 'pixel')} brighter than 12 bits show, clipped"
    return {"kband_clipped": str(n_clipped), "ImageComments": said}


def _together(*notes: Mapping[str, str]) -> dict[str, str]:
    """All notes; of those that go to the comment, each behind the others."""
    together = {key: text for some in notes for key, text in some.items()}
    if comments := [some["ImageComments"] for some in notes if "ImageComments" in some]:
        together["ImageComments"] = "; ".join(comments)
    return together
