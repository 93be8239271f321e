"""The room for shots of a scan in real time: a window slides over them, and each of its positions is an image."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from gadgets.encoding import Encoding
from gadgets.errors import PipelineError, ScanError
from gadgets.items import Aside, ReconBuffer
from gadgets.line_count import LineCount
from gadgets.mrd import ismrmrd
from gadgets.receiving.expected_images import missing_images
from gadgets.receiving.image_lines import ImageKey
from gadgets.receiving.place import outside_limits
from gadgets.receiving.shot import Shot
from gadgets.receiving.shot_admission import ShotAdmission
from gadgets.receiving.shot_buffer import ShotBuffers
from gadgets.receiving.shot_places import ShotPlaces, measured
from gadgets.scan import Scan

MOST_WINDOWS = 1 << 16  # that the repetition counter of an image header can number
WINDOW_REPETITIONS = "kband_window_repetitions"  # meta key: whose shots an image holds


@dataclass(frozen=True)
class Window:
    """`n_shots` that make an image; the next one begins `every` shots later."""

    n_shots: int
    every: int


@dataclass
class _Stream:
    """Shots of one series by their number in it, as many as may still be needed. `sent`: windows that left or never
    came; `acs`: what calibrates them, of `n_calibrating` shots.
    """

    shots: dict[int, Shot] = field(default_factory=dict)
    newest: int = -1
    sent: int = 0
    empty: int = 0
    end_of_last: int = 0
    acs: Tensor | None = None
    n_calibrating: int = 0


class WindowRoom:
    """Sends an image of every `window` of the shots of a series, which goes on from one repetition to the next.

    Shots are numbered by encoding step 1, average and repetition, in which order they must come. A window leaves with
    its last shot, or with one behind it; the last one ends with the scan. Its header is that of its middle shot, with
    the window's number as repetition. The first shots of a series calibrate all its windows: as many as sample the
    calibration lines without gap.
    """

    def __init__(self, who: str, scan: Scan, places: ShotPlaces, buffers: ShotBuffers, window: Window) -> None:
        self._who, self._scan, self._places, self._buffers, self._window = who, scan, places, buffers, window
        self.admission = ShotAdmission(who, scan, self._misfit)
        self._streams: dict[ImageKey, _Stream] = {}
        self._fewest_calibrating = max(math.ceil(math.pi / 2 * buffers.acs_lines), window.n_shots)

    def take(self, line: ismrmrd.Acquisition) -> Iterator[ReconBuffer | Aside]:
        """Add a shot to its series and let go the windows that it ends."""
        key = ImageKey.of(line)
        if not (yield from self.admission.admits(line, key, None, has_left=False)):
            return
        encoding = self._scan.encodings[key.encoding]
        stream, number = self._streams.setdefault(_series(key), _Stream()), _number(encoding, line)
        while self._end(stream) < number:
            yield from self._send(key, stream, self._end(stream))
        data = torch.from_numpy(np.array(line.data[:, measured(line)]))
        shot = Shot(data, self._places.coords(encoding, line), self._places.density(encoding, line), line.getHead())
        stream.shots[number], stream.newest = shot, number
        if number == self._end(stream):
            yield from self._send(key, stream, number)

    def close(self) -> Iterator[ReconBuffer]:
        """Send a last window of each series whose newest shots are in none."""
        for key, stream in sorted(self._streams.items()):
            if stream.end_of_last <= stream.newest:
                yield from self._send(key, stream, stream.newest)

    def problems(self) -> list[str]:
        """Say what is wrong with the scan as a whole, a sentence each."""
        found = self.admission.problems()
        for key, stream in sorted(self._streams.items()):
            announced = _announced(self._scan.encodings[key.encoding])
            if stream.empty:
                found.append(f"{key}: no shot came of {stream.empty} of {stream.sent} windows")
            if announced and stream.newest + 1 < announced:
                found.append(f"{key}: the last shot that came is number {stream.newest + 1} of {announced}")
        return found + missing_images(self._scan, self._repetitions())

    def _repetitions(self) -> set[ImageKey]:
        """Images that the header may announce: of what it calls repetitions windows are made."""
        limits = {key: self._scan.encodings[key.encoding].counters["repetition"] for key in self._streams}
        return {
            key._replace(repetition=number)
            for key, limit in limits.items()
            for number in (range(limit.minimum, limit.maximum + 1) if limit else (0,))
        }

    def _misfit(self, encoding: Encoding, line: ismrmrd.Acquisition) -> str | None:
        average = "average", line.idx.average, encoding.counters["average"]
        if reason := self._places.misfit(encoding, line) or outside_limits(average):
            return reason
        stream, number = self._streams.get(_series(ImageKey.of(line))), _number(encoding, line)
        if stream is not None and number <= stream.newest:
            return f"it is shot {number + 1} of its series, and came behind shot {stream.newest + 1}"
        return None

    def _end(self, stream: _Stream) -> int:
        """Number of the last shot of the next window."""
        return stream.sent * self._window.every + self._window.n_shots - 1

    def _send(self, key: ImageKey, stream: _Stream, end: int) -> Iterator[ReconBuffer]:
        first = max(end - self._window.n_shots + 1, 0)
        inside = [number for number in sorted(stream.shots) if first <= number <= end]
        if stream.sent >= MOST_WINDOWS:
            raise ScanError(f"{self._who}: window {stream.sent} does not fit the repetition counter of images")
        if inside:
            yield self._buffer(key, stream, inside, middle=(first + end) // 2)
        stream.sent, stream.empty, stream.end_of_last = stream.sent + 1, stream.empty + (not inside), end + 1
        oldest = end + 1 - self._fewest_calibrating
        stream.shots = {number: shot for number, shot in stream.shots.items() if number > oldest}

    def _buffer(self, key: ImageKey, stream: _Stream, inside: list[int], middle: int) -> ReconBuffer:
        encoding = self._scan.encodings[key.encoding]
        self._calibrate(stream, encoding)
        header = copy.deepcopy(stream.shots[min(inside, key=lambda number: abs(number - middle))].header)
        header.idx.repetition = stream.sent
        shots = sorted((stream.shots[number] for number in inside), key=_angle)
        repetitions = sorted({shot.header.idx.repetition for shot in shots})
        remarks = [said for one in repetitions for said in self.admission.remarks(key._replace(repetition=one))]
        count = LineCount(len(shots), self._window.n_shots)
        buffer = self._buffers.of(shots, encoding, count, remarks, header, stream.acs)
        return replace(buffer, notes={**buffer.notes, WINDOW_REPETITIONS: ", ".join(map(str, repetitions))})

    def _calibrate(self, stream: _Stream, encoding: Encoding) -> None:
        """By the first window, and once again when shots suffice for all calibration lines."""
        n_shots = min(len(stream.shots), self._fewest_calibrating)
        if stream.acs is None or (n_shots > stream.n_calibrating and n_shots == self._fewest_calibrating):
            shots = [stream.shots[number] for number in sorted(stream.shots)][:n_shots]
            stream.acs, stream.n_calibrating = self._buffers.calibration(shots, encoding), n_shots


def require_numbered_shots(scan: Scan, who: str, window: Window) -> None:
    """Raise `PipelineError` unless the header tells how many shots a repetition has, and announces a whole window."""
    for encoding in scan.encodings:
        if not scan.announces_step1(encoding.index):
            raise PipelineError(
                f"{who}.spokes: encoding {encoding.index} sets no limits of encoding step 1, which number the shots"
            )
        if encoding.encoded_matrix[2] > 1:
            n = encoding.encoded_matrix[2]
            raise PipelineError(f"{who}.spokes: encoding {encoding.index} has {n} partitions; windows are of one plane")
        announced = _announced(encoding)
        if announced and announced < window.n_shots:
            raise PipelineError(f"{who}.spokes: {window.n_shots} in a window, but the header announces {announced}")


def _series(key: ImageKey) -> ImageKey:
    return key._replace(repetition=0)


def _number(encoding: Encoding, line: ismrmrd.Acquisition) -> int:
    """Number of a shot in its series, from 0."""
    average = encoding.counters["average"]
    turn = line.idx.repetition * encoding.n_averages + line.idx.average - (average.minimum if average else 0)
    return turn * len(encoding.step1) + line.idx.kspace_encode_step_1 - encoding.step1.minimum


def _announced(encoding: Encoding) -> int | None:
    """Shots of a series, or None where the header does not limit repetitions."""
    limit = encoding.counters["repetition"]
    return limit and (limit.maximum + 1) * encoding.n_averages * len(encoding.step1)


def _angle(shot: Shot) -> tuple[int, int, int]:
    """Order of shots that is the same whenever windows hold the same angles: their transfer function is known then."""
    return shot.header.idx.kspace_encode_step_1, shot.header.idx.average, shot.header.idx.repetition
