"""Which shots can be used; the others are set aside and told."""

from __future__ import annotations

from collections.abc import Generator

from gadgets.items import Aside
from gadgets.mrd import ismrmrd
from gadgets.receiving.admission import Admission, Misfit
from gadgets.receiving.image_lines import ImageKey
from gadgets.receiving.image_shots import ImageShots
from gadgets.receiving.role import Role, role_of
from gadgets.scan import Scan

TURNING = "; coordinates along a trajectory are told in one frame of directions for all its shots"


class ShotAdmission:
    """Lets the shots of images in, as `Admission` does lines, and counts all lines that come."""

    def __init__(self, who: str, scan: Scan, misfit: Misfit) -> None:
        self._lines = Admission(who, scan, misfit, TURNING)
        self.first_lines = self._lines.first_lines
        self._n_lines = 0

    def admits(
        self, line: ismrmrd.Acquisition, key: ImageKey, image: ImageShots | None, *, has_left: bool
    ) -> Generator[Aside, None, bool]:
        """Return whether a shot is to be used, and warn where it is set aside.

        `image` is what came of its image, which may have left already.
        """
        number, role = self._n_lines, role_of(line)
        self._n_lines += 1
        if role in (Role.FOREIGN, Role.HELD_OUT):
            return False
        reason = self._lines.refuses(line, role, key, image, has_left=has_left, is_reversed=False)
        if reason is None and role is Role.CALIBRATION:
            reason = "it only calibrates, and images along a trajectory calibrate themselves"
        if reason is not None:
            yield from self._lines.set_aside(key, number, reason)
        return reason is None

    def remarks(self, key: ImageKey) -> list[str]:
        """Return what an image that leaves must say of shots set aside."""
        return self._lines.remarks(key)

    def problems(self) -> list[str]:
        """Say how many shots were set aside, a sentence for each kind of reason."""
        return self._lines.problems()
