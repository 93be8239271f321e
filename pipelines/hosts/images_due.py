"""How many images a scan must bring, by the counters of its lines, and which of them never came."""

from __future__ import annotations

from gadgets.mrd import ismrmrd
from gadgets.receiving.image_lines import ImageKey
from gadgets.receiving.role import role_of
from gadgets.receiving.shot_windows import WINDOW_REPETITIONS
from kband_core.plural import counted


class ImagesDue:
    """Lines that were sent to a server against images that it sent back; it need not tell how the scan ended."""

    def __init__(self) -> None:
        self._due: set[ImageKey] = set()
        self._came: set[ImageKey] = set()
        self._numbers: set[int] = set()  # of images, for servers that leave all other counters at zero

    def add_line(self, line: ismrmrd.Acquisition) -> None:
        """Expect the image of a line; noise, navigators and lines that only calibrate have none."""
        if role_of(line).fills_image:
            self._due.add(ImageKey.of(line)._replace(encoding=0))  # images do not name theirs

    def add_image(self, image: ismrmrd.Image) -> None:
        """Count an image once, however many of its kind come; a map beside it is none, and one of joined
        contrasts, or of a window over repetitions, is that of each."""
        if "kband_quantity" not in image.meta:
            key = ImageKey(0, *(getattr(image, name) for name in ImageKey._fields[1:]))
            keys = {key}
            if joined := image.meta.get("kband_joined_contrasts"):
                keys = {key._replace(contrast=int(one)) for one in joined.split(", ")}
            if window := image.meta.get(WINDOW_REPETITIONS):
                keys = {key._replace(repetition=int(one)) for one in window.split(", ")}
            self._came |= keys
            self._numbers.add(image.image_index)

    def missing(self) -> str | None:
        """One sentence on images that never came, or None. A server may number them in its own way."""
        n_came = len(self._came) if len(self._came) > 1 else len(self._numbers)
        if n_came >= len(self._due):
            return None
        first = min(self._due - self._came)
        return f"{n_came} of {counted(len(self._due), 'image')} came; the first missing is {first}"
