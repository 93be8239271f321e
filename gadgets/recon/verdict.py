"""Whether the lines of an image fit together, in the words of its meta."""

from __future__ import annotations

from gadgets.items import ReconBuffer, acquired_lines
from kband_core.consistency import DOUBLED, doubled_share, learn_windows, misfit

GOOD = "good"
UNKNOWN = "unknown"


def consistency(buffer: ReconBuffer) -> str:
    """Say of a single image whether its measured lines contradict one another, and where."""
    if buffer.acs is None or buffer.unmixing is None:
        return UNKNOWN
    n_coils, acceleration = buffer.kspace.shape[3], buffer.encoding.acceleration[0]
    if n_coils < acceleration:
        return f"{n_coils} coils cannot unfold R={acceleration}"
    if buffer.all_maps is not None and (share := doubled_share(buffer.all_maps[0, 0])) > DOUBLED:
        return f"calibration lines contradict one another in {share:.0%} of the image"
    kspace, mask = buffer.planes()
    try:
        law = learn_windows(buffer.acs[0, 0], buffer.encoding.acceleration[0])
        found = misfit(law, kspace[0], acquired_lines(mask))
    except ValueError:
        return UNKNOWN
    return GOOD if found.is_consistent else found.sentence()
