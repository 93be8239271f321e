"""The one place that numbers series: which encoding, what is shown, of which part of the complex image.

    1 + encoding, up to 10, + quantity + fallback + part, as summed up by who makes the image what it is

Each term has digits of its own, so that no two sums are equal: ones the encoding, tens the quantity, hundreds the
fallback, thousands the part. Further encodings stand 200 higher for each ten of them, 4,000 for each fifty. The
uncertainty of a quantity stands 32,000 higher than itself.
"""

from __future__ import annotations

from gadgets.errors import ScanError
from gadgets.mrd import ismrmrd

OF_IMAGES = {  # up to 90
    "g-factor": 10, "SNR": 20, "water": 30, "fat": 40, "PDFF": 50, "R2*": 60, "B0": 70, "unsure": 80,
    "expected error": 90,
}  # fmt: skip
UNCERTAINTY = 32000
QUANTITIES = OF_IMAGES | {f"SD of {name}": OF_IMAGES[name] + UNCERTAINTY for name in ("PDFF", "R2*", "B0")}
FALLBACK = 100  # of an image that is not what was asked for
PARTS = {ismrmrd.IMTYPE_MAGNITUDE: 0, ismrmrd.IMTYPE_REAL: 1000, ismrmrd.IMTYPE_IMAG: 2000, ismrmrd.IMTYPE_PHASE: 3000}
MOST_ENCODINGS = 400  # whose series all fit the 16 bits of the image header


def image_series(encoding: int, *, is_fallback: bool) -> int:
    """Number the series of the complex images of an encoding, without quantity. Raises `ScanError` beyond 400 of them.
    """
    if encoding >= MOST_ENCODINGS:
        raise ScanError(f"encoding {encoding} has no series number; those of 0 to {MOST_ENCODINGS - 1} fit a header")
    fifties, below = divmod(encoding, 50)
    tens, ones = divmod(below, 10)
    return 1 + ones + 200 * tens + 4000 * fifties + FALLBACK * is_fallback
