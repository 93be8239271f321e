"""What came of a scan, as its images themselves tell it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from gadgets.mrd import ismrmrd
from kband_core.plural import counted


class Seconds(NamedTuple):
    """How long a gadget took itself: after the last line had come, and in all."""

    after_last_line: float
    in_all: float


@dataclass
class Verdict:
    """What came of a scan: lines in, images out, what is wrong with them, seconds from last line to last image.

    `seconds`: where the time went, by gadget.
    """

    n_lines: int = 0
    n_images: int = 0
    n_fallback: int = 0
    n_incomplete: int = 0
    first_problem: str | None = None
    latency: float | None = None
    seconds: dict[str, Seconds] = field(default_factory=dict)

    @property
    def flaw(self) -> str | None:
        """One sentence on what is wrong with the images, or None."""
        wrong = {"made by a fallback": self.n_fallback, "incomplete": self.n_incomplete}
        flaws = [f"{n} of {counted(self.n_images, 'image')} {what}" for what, n in wrong.items() if n]
        if self.n_images == 0:
            return f"0 images came of {counted(self.n_lines, 'line')}"
        return f"{', '.join(flaws)} ({self.first_problem})" if flaws else None

    def count(self, image: ismrmrd.Image) -> bool:
        """Take an image into account by its meta attributes; whether it is incomplete or made by a fallback."""
        meta = ismrmrd.Meta.deserialize(image.attribute_string) if image.attribute_string else {}
        self.n_images += 1
        is_fallback, is_incomplete = meta.get("kband_fallback", "no") != "no", meta.get("kband_complete") == "no"
        self.n_fallback += is_fallback
        self.n_incomplete += is_incomplete
        if is_fallback or is_incomplete:
            self.first_problem = self.first_problem or meta.get("ImageComments")
        return is_fallback or is_incomplete
