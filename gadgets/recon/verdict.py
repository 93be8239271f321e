"""Whether the lines of an image fit together, in the words of its meta."""

from __future__ import annotations

from torch import Tensor

from gadgets.coils.per_slice import PerSlice
from gadgets.encoding import Encoding
from gadgets.items import Calibration, ReconBuffer
from kband_core.consistency import DOUBLED, WindowLaw, beyond_law, doubled_share, learn_windows, misfit
from kband_core.plural import counted
from kband_core.sampling import Trajectory

GOOD = "good"
UNKNOWN = "unknown"


class LineVerdict:
    """Judges images by what the calibration lines of their slice leave empty, learnt while the scan still runs."""

    def __init__(self) -> None:
        self._laws = PerSlice("LineVerdict", _laws)

    def prepare(self, calibration: Calibration) -> None:
        """Learn from calibration lines ahead of the image."""
        if not calibration.turned and calibration.encoding.multiband == 1:
            coming = calibration.coming and calibration.coming.beside(calibration.acs)
            for law in self._laws.prepare(calibration):
                if law is not None and coming is not None:
                    coming.made(beyond_law, law.empty)

    def notes(self, buffer: ReconBuffer) -> dict[str, str]:
        """Say of a single image whether its lines fit together: to its meta, and to its comment where they do not."""
        said = self._said(buffer)
        marked = {} if said in (GOOD, UNKNOWN) else {"ImageComments": f"INCONSISTENT: {said}"}
        return {"kband_consistency": said, **marked}

    def _said(self, buffer: ReconBuffer) -> str:
        if isinstance(buffer.sampling, Trajectory):  # its calibration lines are gridded: none was measured
            return UNKNOWN
        if buffer.acs is None or buffer.unmixing is None:  # noise, of which nobody knows how strong it is
            return UNKNOWN
        n_coils, acceleration = buffer.kspace.shape[3], buffer.encoding.total_acceleration * buffer.encoding.multiband
        if n_coils < acceleration:
            return f"{counted(n_coils, 'coil')} cannot unfold R={acceleration}"
        if buffer.turned or buffer.bands:  # windows have lines of one direction, of one slice
            return UNKNOWN
        middle = buffer.acs.shape[1] // 2
        if buffer.all_maps is not None and (share := doubled_share(buffer.all_maps[0, middle])) > DOUBLED:
            return f"calibration lines contradict one another in {share:.0%} of the image"
        try:
            (law,) = self._laws.of(buffer)
            if law is None:
                return UNKNOWN
            kspace, sampling = buffer.planes()
            coming = buffer.coming and buffer.coming.of(buffer.kspace)
            known = coming and coming.made(beyond_law, law.empty)
            found = misfit(law, kspace[middle], sampling.here().lines(), known)
        except ValueError:
            return UNKNOWN
        return GOOD if found.is_consistent else found.sentence()


def _laws(acs: Tensor, encoding: Encoding, matrix: tuple[int, int]) -> list[WindowLaw | None]:
    """For ACS `(slice, z, coil, ky, kx)` the law of the middle partition of each slice, or None if they are too few."""
    return [_law(planes[len(planes) // 2], encoding.acceleration[0]) for planes in acs]


def _law(acs: Tensor, acceleration: int) -> WindowLaw | None:
    try:
        return learn_windows(acs, acceleration)
    except ValueError:
        return None
