"""The receiving room: lines come in one by one, calibrations and images leave as soon as they are complete."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Annotated, TypeAlias

from gadgets import flags
from gadgets.encoding import Encoding
from gadgets.errors import ScanError
from gadgets.gadget import field
from gadgets.items import Aside, Calibration, ReconBuffer
from gadgets.mrd import ismrmrd
from gadgets.receiving.admission import Admission
from gadgets.receiving.calibration import CalibrationLines
from gadgets.receiving.expected_images import missing_images
from gadgets.receiving.image_lines import ImageKey, ImageLines
from gadgets.receiving.interleaved_calibration import InterleavedCalibration
from gadgets.receiving.place import Place, place_of, turned_round, without_untold_oversampling
from gadgets.receiving.role import Role, role_of
from gadgets.receiving.series import OLDEST, Series
from gadgets.receiving.slice_calibration import SliceCalibration
from gadgets.scan import Scan

AcsLines: TypeAlias = Annotated[
    int, field(ge=4, le=512, description="central lines that calibrate where the scanner flags none")
]
ANNOUNCED = ("embedded", "separate")  # calibration modes whose lines belong to the stream
MOST_COMING = 16  # images at a time, of whose lines others are made as they come: 0.4 GB at 256² and 16 coils
MOST_UNCALIBRATED = 64  # complete images of a slice that wait for calibration lines: 0.4 GB at 256² and 12 coils


def receive(
    lines: Iterable[ismrmrd.Acquisition], who: str, scan: Scan, acs_lines: int
) -> Iterator[Calibration | ReconBuffer | Aside]:
    """Receive a scan line by line; `ScanError` behind its last image if lines had no place or images never began."""
    room = ReceivingRoom(who, scan, acs_lines)
    for line in room.admission.first_lines.through(lines):
        yield from room.take(line)
    yield from room.close()
    if problems := room.problems():
        raise ScanError(f"{who}: {'; '.join(problems)}")


class ReceivingRoom:
    """Takes the lines of a scan; `who` receives them, by the name that its messages bear.

    All state of calibration is kept by (encoding, slice). A line that cannot be used is set aside, told at once and
    in the comment of its image, and told by `problems`. `acs_lines` central lines calibrate where none is flagged.
    """

    def __init__(self, who: str, scan: Scan, acs_lines: int) -> None:
        self._scan, self._acs_lines = scan, acs_lines
        self._images: dict[ImageKey, ImageLines] = {}
        self._left: set[ImageKey] = set()
        self._slices: defaultdict[tuple[int, int], SliceCalibration] = defaultdict(SliceCalibration)
        self._series: defaultdict[tuple[int, ...], Series] = defaultdict(Series)
        self._interleaved = InterleavedCalibration(acs_lines)
        self.admission = Admission(who, scan)
        self._n_lines = 0

    def take(self, line: ismrmrd.Acquisition) -> Iterator[Calibration | ReconBuffer | Aside]:
        """Put a line where it belongs and let go what it completes."""
        number, role, key = self._n_lines, role_of(line), ImageKey.of(line)
        self._n_lines += 1
        if role is Role.FOREIGN:
            return
        if self._scan.has_encoding(key.encoding):
            line = without_untold_oversampling(self._scan.encodings[key.encoding], line)
        if is_reversed := flags.is_reversed(line):
            line = turned_round(line)
        image, has_left = self._images.get(key), key in self._left
        if reason := self.admission.refuses(line, role, key, image, has_left=has_left, is_reversed=is_reversed):
            yield from self.admission.set_aside(key, number, reason)
            return
        encoding = self._scan.encodings[key.encoding]
        if role is Role.BOTH and encoding.is_interleaved:
            role = Role.IMAGE  # all lines of such repetitions may be flagged
        yield from self._add(line, role, key, encoding)

    def close(self) -> Iterator[Calibration | ReconBuffer]:
        """Send what is left at the end of the scan, those without an image's lines first: they calibrate others."""
        for key in sorted(self._images, key=lambda key: self._images[key].begun):
            if key in self._images:
                yield from self._send(key)

    def problems(self) -> list[str]:
        """Say what is wrong with the scan as a whole, a sentence each."""
        found = self.admission.problems()
        found += [f"slice {at[1]}: {shared.flaw}" for at, shared in sorted(self._slices.items()) if shared.flaw]
        return found + missing_images(self._scan, self._left)

    def _add(
        self, line: ismrmrd.Acquisition, role: Role, key: ImageKey, encoding: Encoding
    ) -> Iterator[Calibration | ReconBuffer]:
        series, shared, place = self._series[key[:-1]], self._slices[key[:2]], place_of(encoding, line)
        if key not in self._images:
            self._images[key] = ImageLines(encoding, line.active_channels, line.number_of_samples)
            for earlier, age in series.begin(key):
                if earlier in self._images and self._is_over(self._images[earlier], age):
                    yield from self._send(earlier)
        image = self._images[key]
        image.add(line, role, place)
        series.hear(key)
        if role is Role.HELD_OUT:
            return
        if encoding.is_interleaved and image.calibration is None:
            yield from self._send_if_interleaved(key)
            return
        if role.calibrates:
            for other in sorted(shared.complete - {key}):
                yield from self._end_calibration(other, now=key)
            shared.arrive(key)
        else:
            if key in shared.arriving:
                shared.unlooked.add(key)
            yield from self._end_calibrations(shared, key, place)
            if image.calibration is None and image.is_central(place, self._acs_lines):
                yield from self._self_calibrate(key)
        if role.fills_image:
            yield from self._send_if_complete(key)

    def _is_over(self, image: ImageLines, age: int) -> bool:
        """Whether no more lines are awaited, `age` repetitions having begun since the last one.

        Where lines cannot be counted one is enough. Else it takes two, of an image that lacks some of its lines but has
        most: in scans with repetitions as the inner loop they all begin at once. One that lacks nothing waits for its
        calibration.
        """
        if not image.begun or image.ledger.count().expected is None:
            return image.begun
        return age >= OLDEST and image.lacks_lines() and image.ledger.has_most()

    def _self_calibrate(self, key: ImageKey) -> Iterator[Calibration]:
        shared, image = self._slices[key[:2]], self._images[key]
        if key not in shared.self_calibrating and image.has_centre(self._acs_lines):
            shared.self_calibrating.add(key)
            yield from self._go_ahead(key, image.calibration_lines(self._acs_lines))

    def _end_calibrations(
        self, shared: SliceCalibration, now: ImageKey, place: Place
    ) -> Iterator[Calibration | ReconBuffer]:
        """End the calibrations of a slice at a line without flag. Where more may follow in its own image, they do so in
        all: repetitions or contrasts as the inner loop are not looked through at every line.
        """
        if now in shared.unlooked and self._images[now].calibration_goes_on(place):
            return
        for key in sorted(shared.unlooked):
            if not self._images[key].calibration_goes_on(place):
                shared.unlooked.discard(key)
                yield from self._end_calibration(key, now=now)

    def _end_calibration(self, key: ImageKey, *, now: ImageKey) -> Iterator[Calibration | ReconBuffer]:
        """Let an image's calibration go ahead if it is complete, then the image, if it only waited for that.

        A line without a flag has come, or a flagged one of another image; lines that lie in between may still come, but
        for a reference scan, whose lines run without a break.
        """
        shared, image = self._slices[key[:2]], self._images[key]
        is_reference = not image.begun and not image.encoding.is_embedded
        if image.lacks_calibration() and not is_reference:
            return
        shared.has_arrived(key)
        if image.calibrates_all_partitions() and (lines := image.calibration_lines(self._acs_lines)):
            yield from self._go_ahead(key, lines)
        if key != now:
            yield from self._send_if_complete(key)
        yield from self._release(shared)

    def _release(self, shared: SliceCalibration) -> Iterator[Calibration | ReconBuffer]:
        """Send the images that waited for a calibration of their slice."""
        for key in sorted(shared.uncalibrated):
            yield from self._send_if_complete(key)

    def _go_ahead(self, key: ImageKey, lines: CalibrationLines) -> Iterator[Calibration]:
        """Send a calibration ahead of its image, once; not while that of another image is ahead, which the gadgets
        behind would forget: they keep one for each slice.
        """
        shared = self._slices[key[:2]]
        shared.latest = lines
        if key in shared.went_ahead:
            return
        ahead = shared.ahead
        if ahead in self._images and self._images[ahead].begun and not self._series[ahead[:-1]].is_silent(ahead):
            shared.held_back.add(key)
            return
        shared.ahead = key
        shared.held_back.discard(key)
        shared.went_ahead.add(key)
        image, are_few = self._images[key], len(self._images) <= MOST_COMING
        yield lines.ahead(image.encoding, key.slice, image.imaging.coming if are_few else None)

    def _send_if_complete(self, key: ImageKey) -> Iterator[Calibration | ReconBuffer]:
        shared, image = self._slices[key[:2]], self._images.get(key)
        if image is None:
            return
        if not (image.begun and image.ledger.may_leave(countable=not shared.uncountable)):
            is_held_back = key in shared.held_back and key not in shared.arriving
            if is_held_back and (lines := image.calibration_lines(self._acs_lines)):
                yield from self._go_ahead(key, lines)
            return
        has_own = image.calibration is not None or key in shared.self_calibrating
        if has_own and key in shared.arriving:
            shared.complete.add(key)
        elif not has_own and (shared.arriving or (shared.latest is None and self._awaits(image))):
            shared.uncalibrated.add(key)
            if len(shared.uncalibrated) > MOST_UNCALIBRATED:
                yield from self._send(min(shared.uncalibrated))
        else:
            yield from self._send(key)

    def _awaits(self, image: ImageLines) -> bool:
        """Whether calibration lines must still come: announced, or by a header that leaves it open, and needed."""
        mode = image.encoding.calibration_mode
        is_announced = mode in ANNOUNCED or (mode is None and not image.has_neighbours_in_the_centre())
        return image.encoding.total_acceleration > 1 and is_announced

    def _send_if_interleaved(self, key: ImageKey) -> Iterator[Calibration | ReconBuffer]:
        shared, image = self._slices[key[:2]], self._images[key]
        if not image.ledger.may_leave(countable=True):
            return
        if lines := self._interleaved.add(key, image):
            yield from self._go_ahead(key, lines)
        if shared.latest is not None or self._interleaved.waits_in_vain(key):
            for one in self._interleaved.release(key):
                if one in self._images:
                    yield from self._send(one)

    def _send(self, key: ImageKey) -> Iterator[Calibration | ReconBuffer]:
        shared, image = self._slices[key[:2]], self._images.pop(key)
        image.settle()
        has_own = image.calibration is not None or key in shared.self_calibrating
        shared.leave(key)
        self._series[key[:-1]].leave(key)
        own = image.calibration_lines(self._acs_lines) if has_own or shared.latest is None else None
        if own and has_own:
            shared.latest = own = own.known_from(shared.latest)
        if not image.begun:
            return
        self._left.add(key)
        shared.uncountable |= image.ledger.outgrew_grid
        lines, remarks = own or shared.latest, self.admission.remarks(key)
        if lines and lines.flaw:
            remarks.append(lines.flaw)
            if own is None:
                shared.flaw = lines.flaw
        yield image.buffer(lines, remarks, serves=own is not None)
        if has_own:
            yield from self._release(shared)
