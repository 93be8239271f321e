"""Group lines by their counters into k-space; calibration goes ahead, each image leaves when it is complete."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Annotated, ClassVar

import ismrmrd
from torch import Tensor

from gadgets import flags
from gadgets.errors import ScanError
from gadgets.gadget import Device, Gadget, field
from gadgets.held_out_lines import flaw
from gadgets.image_lines import ImageKey, ImageLines
from gadgets.items import Calibration, ReconBuffer
from gadgets.kspace_lines import misfit
from gadgets.scan import Encoding, Scan, require_cartesian
from kband_core.device import choose_device

log = logging.getLogger(__name__)

AWAITED = ("embedded", "separate", "interleaved")  # modes in which calibration lines belong to the stream


@dataclass
class AcquisitionBuffer(Gadget):
    """Buffer lines by counters; send a slice's `Calibration` when it is complete, then its images.

    An image with flagged calibration lines, or with `acs_lines` central lines, calibrates itself: the patient may have
    moved since the one before. Others take the latest calibration of their slice.

    An image leaves when the lines that the header lets expect are in, else at the end. Only where the header leaves
    open how many lines there are, the scanner's last-line flags, or the slice's next repetition, send it earlier. A
    line that has no place is set aside and named in the log and in the image's comment. Held-out lines (navigation data
    with user flag 1) stay out of the image and judge it; it does not wait for them.
    """

    accepts: ClassVar[tuple[type, ...]] = (ismrmrd.Acquisition,)
    emits: ClassVar[tuple[type, ...]] = (Calibration, ReconBuffer)

    acs_lines: Annotated[
        int, field(ge=4, le=512, description="central lines that calibrate where the scanner flags none")
    ] = 24
    device: Device = "auto"

    def open(self, scan: Scan) -> None:
        """Refuse trajectories and accelerations that cannot be reconstructed; choose the device."""
        require_cartesian(scan, "AcquisitionBuffer")
        self._scan = scan
        self.computes_on = choose_device(self.device)

    def process(self, acquisitions: Iterable[ismrmrd.Acquisition]) -> Iterator[Calibration | ReconBuffer]:
        """Emit each image once. Raises `ScanError` at the end if lines had no place or if images never began."""
        images: dict[ImageKey, ImageLines] = {}
        sent: set[ImageKey] = set()
        calibrating: dict[int, ImageLines] = {}  # by slice: calibration lines still arriving
        calibrated: dict[int, Tensor] = {}  # by slice: the ACS that images without calibration of their own use
        self_calibrating: set[ImageKey] = set()  # under way, without flags, but with a fully sampled centre
        set_aside: Counter[str] = Counter()
        shape: tuple[int, int] | None = None

        def calibrate(slice_: int, acs: Tensor, encoding: Encoding) -> Calibration:
            calibrated[slice_] = acs
            return Calibration(acs, (encoding.encoded_matrix[1], shape[1]), encoding, slice_).to(self.computes_on)

        def send(key: ImageKey) -> Iterator[ReconBuffer]:
            image = images.pop(key)
            has_own = image.calibration is not None or key in self_calibrating
            self_calibrating.discard(key)
            own = image.acs(self.acs_lines) if has_own or key.slice not in calibrated else None
            if own and has_own:
                calibrated[key.slice] = own[0]
            if image.begun:
                sent.add(key)
                shared = calibrated.get(key.slice)
                yield image.buffer(*(own or (shared, None))).to(self.computes_on)

        for number, line in enumerate(acquisitions):
            held_out = flags.is_held_out(line)
            if flags.is_never_image(line) and not held_out:
                continue
            key = ImageKey.of(line)
            shape = shape or (line.active_channels, line.number_of_samples)
            reason = "it came after its image had left" if key in sent else self._unusable(line, shape)
            if reason:
                log.warning("AcquisitionBuffer: line %d (%s) set aside: %s", number, key, reason)
                set_aside[reason] += 1
                if key in images:
                    images[key].problems.append(f"a line was set aside: {reason}")
                continue
            encoding = self._scan.encodings[key.encoding]
            if key not in images:
                images[key] = ImageLines(encoding, *shape)
                earlier = [other for other in images if other[:-1] == key[:-1] and other < key]
                for other in earlier:
                    if images[other].count().expected is None:
                        yield from send(other)
            image = images[key]
            image.add(line)
            if held_out:
                continue
            if flags.is_calibration(line):
                calibrating[key.slice] = image
            elif key.slice in calibrating:
                if acs := calibrating.pop(key.slice).acs(self.acs_lines):
                    yield calibrate(key.slice, acs[0], encoding)
            elif image.calibration is None and image.centre_just_completed(line, self.acs_lines):
                # The gadgets behind keep one calibration for each slice: that of the next contrast would oust this one.
                waiting = {(other.encoding, other.slice, other.repetition) for other in self_calibrating}
                self_calibrating.add(key)
                if (key.encoding, key.slice, key.repetition) not in waiting:
                    yield calibrate(key.slice, image.acs(self.acs_lines)[0], encoding)
            if flags.is_calibration_only(line):
                continue
            awaits_acs = encoding.acceleration[0] > 1 and encoding.calibration_mode in AWAITED
            if image.is_complete() and key.slice not in calibrating and (key.slice in calibrated or not awaits_acs):
                yield from send(key)
        for key in sorted(images, key=lambda key: images[key].begun):
            yield from send(key)
        self._account(sent, set_aside)

    def _account(self, sent: set[ImageKey], set_aside: Counter[str]) -> None:
        problems = [f"{n} line{'s' * (n > 1)} set aside: {reason}" for reason, n in set_aside.items()]
        if not sent:
            problems.append("no imaging lines arrived, so there is no image")
        for index in {key.encoding for key in sent}:
            encoding = self._scan.encodings[index]
            limits = [encoding.counters[name] for name in ImageKey._fields[1:]]
            known = [range(limit.minimum, limit.maximum + 1) if limit else (0,) for limit in limits]
            n_expected, n_sent = prod(map(len, known)), sum(key.encoding == index for key in sent)
            if n_sent < n_expected:
                first = next(key for key in (ImageKey(index, *c) for c in product(*known)) if key not in sent)
                problems.append(f"{n_sent} of {n_expected} images received lines; the first without any is {first}")
        if problems:
            raise ScanError("AcquisitionBuffer: " + "; ".join(problems))

    def _unusable(self, line: ismrmrd.Acquisition, shape: tuple[int, int]) -> str | None:
        n_coils, n_samples = shape
        try:
            encoding = self._scan.encoding(line.encoding_space_ref)
        except ScanError as error:
            return str(error)
        if line.active_channels != n_coils:
            return f"it has {line.active_channels} coils, the lines before have {n_coils}"
        if line.number_of_samples != n_samples:
            return f"it has {line.number_of_samples} samples, the lines before have {n_samples}"
        if flags.is_reversed(line):
            return "it was read in reverse (flag 22), which only an EPI reconstruction can use"
        return misfit(encoding, line) or (flaw(line) if flags.is_held_out(line) else None)
