"""Repetitions whose grids shift by a line from one to the next: together they sample everything, and so calibrate."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from gadgets.receiving.calibration import CalibrationLines, central_lines
from gadgets.receiving.image_lines import ImageKey, ImageLines
from gadgets.receiving.kspace_lines import KSpaceLines


class InterleavedCalibration:
    """The last R repetitions of each image; together they calibrate the newest one, and those that waited for it.

    Breuer et al., TGRAPPA, MRM 53:981 (2005).
    """

    def __init__(self, acs_lines: int) -> None:
        self._acs_lines = acs_lines
        self._latest: dict[tuple[int, ...], deque[KSpaceLines]] = {}
        self._waiting: dict[tuple[int, ...], list[ImageKey]] = {}

    def add(self, key: ImageKey, image: ImageLines) -> CalibrationLines | None:
        """Take a complete image; return its calibration if the last R of its kind sample the whole centre."""
        waiting = self._waiting.setdefault(key[:-1], [])
        if key in waiting:
            return None
        waiting.append(key)
        latest = self._latest.setdefault(key[:-1], deque(maxlen=image.encoding.acceleration[0]))
        latest.append(image.imaging)
        lines = central_lines(_together(latest), self._acs_lines)
        n_wanted = min(self._acs_lines, len(image.encoding.step1))
        return lines if lines and lines.flaw is None and lines.acs.shape[-2] >= n_wanted else None

    def release(self, key: ImageKey) -> list[ImageKey]:
        """Return the images that waited for a calibration, in the order they came; they wait no longer."""
        return self._waiting.pop(key[:-1], [])

    def waits_in_vain(self, key: ImageKey) -> bool:
        """Whether so many images wait that lost lines cannot be why: the grid stands still."""
        return len(self._waiting[key[:-1]]) >= 2 * self._latest[key[:-1]].maxlen


def _together(parts: Sequence[KSpaceLines]) -> KSpaceLines:
    n_coils, _, _, n_samples = parts[0].kspace.shape
    everything = KSpaceLines(parts[0].encoding, n_coils, n_samples)
    for part in parts:
        everything.kspace += part.kspace
        everything.counts += part.counts
    return everything
