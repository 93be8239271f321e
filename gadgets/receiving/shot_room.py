"""The room for shots: they come in one by one, images leave as soon as they are complete."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from gadgets.items import Aside, ReconBuffer
from gadgets.mrd import ismrmrd
from gadgets.receiving.expected_images import missing_images
from gadgets.receiving.image_lines import ImageKey
from gadgets.receiving.image_shots import ImageShots
from gadgets.receiving.series import OLDEST, Series
from gadgets.receiving.shot_admission import ShotAdmission
from gadgets.receiving.shot_buffer import ShotBuffers
from gadgets.receiving.shot_places import ShotPlaces
from gadgets.scan import Scan


class ShotRoom:
    """Sorts the shots of a scan by image; `who` receives them, by the name that its messages bear."""

    def __init__(self, who: str, scan: Scan, places: ShotPlaces, buffers: ShotBuffers) -> None:
        self._scan, self._places, self._buffers = scan, places, buffers
        self.admission = ShotAdmission(who, scan, places.misfit)
        self._images: dict[ImageKey, ImageShots] = {}
        self._left: set[ImageKey] = set()
        self._series: defaultdict[tuple[int, ...], Series] = defaultdict(Series)

    def take(self, line: ismrmrd.Acquisition) -> Iterator[ReconBuffer | Aside]:
        """Put a shot where it belongs and let go what it completes."""
        key = ImageKey.of(line)
        image = self._images.get(key)
        if not (yield from self.admission.admits(line, key, image, has_left=key in self._left)):
            return
        series = self._series[key[:-1]]
        if image is None:
            image = self._images[key] = ImageShots(
                self._scan.encodings[key.encoding], is_announced=self._scan.announces_step1(key.encoding)
            )
            for earlier, age in series.begin(key):
                if earlier in self._images and age >= OLDEST:
                    yield self._send(earlier)
        image.add(line, self._places)
        series.hear(key)
        if image.may_leave():
            yield self._send(key)

    def close(self) -> Iterator[ReconBuffer]:
        """Send what is left at the end of the scan."""
        for key in sorted(self._images):
            yield self._send(key)

    def problems(self) -> list[str]:
        """Say what is wrong with the scan as a whole, a sentence each."""
        return self.admission.problems() + missing_images(self._scan, self._left)

    def _send(self, key: ImageKey) -> ReconBuffer:
        image = self._images.pop(key)
        self._series[key[:-1]].leave(key)
        self._left.add(key)
        return image.buffer(self.admission.remarks(key), self._buffers)
