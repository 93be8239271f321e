"""The images of a scan whose lines still arrive, and the calibration lines that they share."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import ismrmrd

from gadgets import flags
from gadgets.items import Calibration, ReconBuffer
from gadgets.receiving.calibration_lines import CalibrationLines
from gadgets.receiving.image_lines import ImageKey, ImageLines
from gadgets.receiving.interleaved_calibration import InterleavedCalibration
from gadgets.scan import Encoding

AWAITED = ("embedded", "separate")  # modes in which calibration lines belong to the stream


class ImagesUnderWay:
    """Takes lines one by one; says which calibration and which images each of them lets go.

    `acs_lines` central lines calibrate where the scanner flags none. `sent` are the images that have left.
    """

    def __init__(self, acs_lines: int) -> None:
        self.sent: set[ImageKey] = set()
        self._acs_lines = acs_lines
        self._images: dict[ImageKey, ImageLines] = {}
        self._problems: dict[ImageKey, list[str]] = defaultdict(list)
        self._calibrating: dict[int, ImageKey] = {}  # by slice: the image whose calibration lines are still arriving
        self._calibrated: dict[int, CalibrationLines] = {}  # by slice: for images without calibration of their own
        self._interleaved = InterleavedCalibration(acs_lines)
        self._self_calibrating: set[ImageKey] = set()  # without flags, but with a fully sampled centre
        self._uncountable: set[tuple[int, int]] = set()  # encodings and slices of which an image outgrew its grid
        self._flaws: dict[int, str] = {}  # by slice: what is wrong with calibration lines that images share

    def note(self, key: ImageKey, problem: str) -> None:
        """Keep what went wrong with an image for its comment."""
        if key not in self.sent:
            self._problems[key].append(problem)

    def add(self, key: ImageKey, line: ismrmrd.Acquisition, encoding: Encoding) -> Iterator[Calibration | ReconBuffer]:
        """Put a line into its image, which must not have left."""
        if key not in self._images:
            self._images[key] = ImageLines(encoding, line.active_channels, line.number_of_samples)
            for earlier in [other for other in self._images if other[:-1] == key[:-1] and other < key]:
                if self._images[earlier].is_over():
                    yield from self._send(earlier)
        image = self._images[key]
        image.add(line)
        if flags.is_held_out(line):
            return
        if encoding.is_interleaved and image.calibration is None:
            yield from self._send_if_interleaved(key)
            return
        if flags.is_calibration(line):
            other = self._images.get(self._calibrating.get(key.slice, key))
            if other is not None and other is not image and other.begun and other.is_complete():
                yield from self._end_calibration(key)
            self._calibrating[key.slice] = key
        elif key.slice in self._calibrating:
            yield from self._end_calibration(key)
        elif image.calibration is None and image.centre_just_completed(line, self._acs_lines):
            # The gadgets behind keep one calibration for each slice: that of the next contrast would oust this one.
            waiting = {(other.encoding, other.slice, other.repetition) for other in self._self_calibrating}
            self._self_calibrating.add(key)
            if (key.encoding, key.slice, key.repetition) not in waiting:
                yield self._calibrate(key, image.calibration_lines(self._acs_lines))
        if not flags.is_calibration_only(line):
            yield from self._send_if_complete(key)

    def close(self) -> Iterator[ReconBuffer]:
        """Send what is left at the end of the scan, those without an image's lines first: they calibrate others."""
        for key in sorted(self._images, key=lambda key: self._images[key].begun):
            yield from self._send(key)

    def flaws(self) -> list[str]:
        """What is wrong with calibration lines that images shared, which these cannot say by a count of their own."""
        return [f"slice {slice_}: {flaw}" for slice_, flaw in sorted(self._flaws.items())]

    def _end_calibration(self, now: ImageKey) -> Iterator[Calibration | ReconBuffer]:
        """Let a slice's calibration go ahead, then the image that brought it, if it only waited for that."""
        key = self._calibrating.pop(now.slice)
        image = self._images.get(key)
        if image is None:
            return
        lines = image.calibration_lines(self._acs_lines) if image.calibrates_all_partitions() else None
        if lines:
            yield self._calibrate(key, lines)
        if key != now:
            yield from self._send_if_complete(key)

    def _calibrate(self, key: ImageKey, lines: CalibrationLines) -> Calibration:
        self._calibrated[key.slice] = lines
        encoding = self._images[key].encoding
        return Calibration(lines.acs, (encoding.encoded_matrix[1], lines.acs.shape[-1]), encoding, key.slice)

    def _send_if_complete(self, key: ImageKey) -> Iterator[ReconBuffer]:
        image = self._images[key]
        awaits_acs = image.encoding.acceleration[0] > 1 and image.encoding.calibration_mode in AWAITED
        has_calibration = image.calibration is not None or key.slice in self._calibrated
        is_calibrated = key.slice not in self._calibrating and (has_calibration or not awaits_acs)
        if image.begun and image.is_complete(countable=key[:2] not in self._uncountable) and is_calibrated:
            yield from self._send(key)

    def _send_if_interleaved(self, key: ImageKey) -> Iterator[Calibration | ReconBuffer]:
        image = self._images[key]
        if not image.is_complete():
            return
        if lines := self._interleaved.add(key, image):
            yield self._calibrate(key, lines)
        if key.slice in self._calibrated or self._interleaved.waits_in_vain(key):
            for one in self._interleaved.release(key):
                if one in self._images:
                    yield from self._send(one)

    def _send(self, key: ImageKey) -> Iterator[ReconBuffer]:
        image = self._images.pop(key)
        has_own = image.calibration is not None or key in self._self_calibrating
        self._self_calibrating.discard(key)
        own = None
        if has_own or key.slice not in self._calibrated:
            own = image.calibration_lines(self._acs_lines)
        if own and has_own:
            self._calibrated[key.slice] = own
        if not image.begun:
            return
        self.sent.add(key)
        lines = own or self._calibrated.get(key.slice)
        if image.has_outgrown_its_grid():
            self._uncountable.add(key[:2])
        problems = self._problems.pop(key, [])
        if lines and lines.flaw:
            problems.append(lines.flaw)
            if own is None:
                self._flaws[key.slice] = lines.flaw
        yield image.buffer(lines, problems, serves=own is not None)
