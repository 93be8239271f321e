"""What the images of one slice share: the latest calibration, and whose calibration lines still arrive."""

from __future__ import annotations

from dataclasses import dataclass, field

from gadgets.receiving.calibration import CalibrationLines
from gadgets.receiving.image_lines import ImageKey


@dataclass
class SliceCalibration:
    """State of one slice of one encoding; no other encoding's lines calibrate it.

    latest       calibration lines for images that have none of their own
    flaw         what is wrong with lines that were borrowed, which those images cannot tell by a count
    arriving     images whose flagged lines may still come
    unlooked     of these, those that got a line since it was last asked whether they have all
    complete     of these, those that lack no other line; they go when their calibration is over
    ahead        image whose calibration went ahead of it and that has not left yet
    held_back    images whose calibration is complete, while that of another one is ahead
    self_calibrating   images without flags, but with a fully sampled centre
    uncalibrated images that lack nothing but a calibration
    uncountable  whether an image outgrew its grid
    """

    latest: CalibrationLines | None = None
    flaw: str | None = None
    arriving: set[ImageKey] = field(default_factory=set)
    unlooked: set[ImageKey] = field(default_factory=set)
    complete: set[ImageKey] = field(default_factory=set)
    ahead: ImageKey | None = None
    went_ahead: set[ImageKey] = field(default_factory=set)
    held_back: set[ImageKey] = field(default_factory=set)
    self_calibrating: set[ImageKey] = field(default_factory=set)
    uncalibrated: set[ImageKey] = field(default_factory=set)
    uncountable: bool = False

    def arrive(self, key: ImageKey) -> None:
        """Take notice of a flagged line of an image."""
        self.arriving.add(key)
        self.unlooked.add(key)

    def has_arrived(self, key: ImageKey) -> None:
        """Take notice that the calibration lines of an image are all in."""
        for keys in (self.arriving, self.unlooked, self.complete):
            keys.discard(key)

    def leave(self, key: ImageKey) -> None:
        """Take notice that an image has left."""
        self.has_arrived(key)
        for keys in (self.went_ahead, self.held_back, self.self_calibrating, self.uncalibrated):
            keys.discard(key)
        if self.ahead == key:
            self.ahead = None
