"""What a line is for, decided once, when it comes in."""

from __future__ import annotations

from enum import Enum

from gadgets import flags
from gadgets.mrd import ismrmrd


class Role(Enum):
    """What becomes of a line. `FOREIGN`: feedback, dummies, stabilisation, noise, navigators: none of an image's."""

    FOREIGN = "foreign"
    HELD_OUT = "held out"
    CALIBRATION = "calibration"
    IMAGE = "image"
    BOTH = "calibration and image"

    @property
    def calibrates(self) -> bool:
        """Whether it is flagged as a calibration line."""
        return self in (Role.CALIBRATION, Role.BOTH)

    @property
    def fills_image(self) -> bool:
        """Whether it is a line of the image."""
        return self in (Role.IMAGE, Role.BOTH)


def role_of(line: ismrmrd.Acquisition) -> Role:
    """Tell a line's role from its flags."""
    if flags.is_held_out(line):
        return Role.HELD_OUT
    if flags.is_never_image(line):
        return Role.FOREIGN
    if flags.is_calibration_only(line):
        return Role.CALIBRATION
    return Role.BOTH if flags.is_calibration(line) else Role.IMAGE
