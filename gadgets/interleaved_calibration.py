"""Repetitions whose grids shift by a line from one to the next: together they sample everything, and so calibrate."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from gadgets.calibration_lines import CalibrationLines, central_lines
from gadgets.image_lines import ImageKey, ImageLines
from gadgets.kspace_lines import KSpaceLines


class InterleavedCalibration:
    """The last R repetitions of each image; their mean calibrates the newest one, and those that waited for it.

    Breuer et al., TGRAPPA, MRM 53:981 (2005).
    """

    def __init__(self, acs_lines: int) -> None:
        self._acs_lines = acs_lines
        self._latest: dict[tuple[int, ...], deque[KSpaceLines]] = {}
        self._waiting: dict[tuple[int, ...], list[ImageKey]] = {}

    def add(self, key: ImageKey, image: ImageLines) -> tuple[CalibrationLines | None, Sequence[ImageKey]]:
        """Take a complete image; return its calibration and the images that may leave, or nothing as yet."""
        series, n_repetitions = key[:-1], image.encoding.acceleration[0]
        waiting = self._waiting.setdefault(series, [])
        if key in waiting:
            return None, ()
        waiting.append(key)
        latest = self._latest.setdefault(series, deque(maxlen=n_repetitions))
        latest.append(image.imaging)
        if len(latest) < n_repetitions:
            return None, ()
        ready = [*waiting]
        waiting.clear()
        return central_lines(_together(latest), self._acs_lines), ready


def _together(parts: Sequence[KSpaceLines]) -> KSpaceLines:
    n_coils, _, _, n_samples = parts[0].kspace.shape
    everything = KSpaceLines(parts[0].encoding, n_coils, n_samples)
    for part in parts:
        everything.kspace += part.kspace
        everything.counts += part.counts
    return everything
