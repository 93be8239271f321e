"""Which images the header announces, and which of them never came."""

from __future__ import annotations

from collections.abc import Collection
from itertools import product
from math import prod

from gadgets.image_lines import ImageKey
from gadgets.scan import Scan


def missing_images(scan: Scan, sent: Collection[ImageKey], calibrating: Collection[int] = ()) -> list[str]:
    """Return one sentence for each encoding of whose images some are not among those `sent`.

    Where the header does not limit a counter, its values are those that were seen. Encodings `calibrating` may have
    no images, if they only brought calibration lines.
    """
    if not sent:
        return ["no imaging lines arrived, so there is no image"]
    problems = []
    for encoding in scan.encodings:
        of_encoding = {key for key in sent if key.encoding == encoding.index}
        if not of_encoding and encoding.index in calibrating:
            continue
        known = [
            range(limit.minimum, limit.maximum + 1) if limit else sorted({getattr(key, name) for key in of_encoding})
            for name, limit in ((name, encoding.counters[name]) for name in ImageKey._fields[1:])
        ]
        announced = (ImageKey(encoding.index, *counters) for counters in product(*(values or (0,) for values in known)))
        first = next((key for key in announced if key not in of_encoding), None)
        if first is not None:
            n_expected = prod(len(values) or 1 for values in known)
            which = f"{first}" if len(scan.encodings) == 1 else f"encoding {encoding.index}, {first}"
            received = f"{len(of_encoding)} of {n_expected} images received lines"
            problems.append(f"{received}; the first without any is {which}")
    return problems
