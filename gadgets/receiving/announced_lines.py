"""How many lines a header announces."""

from __future__ import annotations

import math

from gadgets.scan import Scan


def announced_lines(scan: Scan) -> int | None:
    """Count the lines of all images as if none were left out, averages one by one; None where a counter has no limits.

    Noise, navigators, and lines that only calibrate come on top.
    """
    n_lines = 0
    for encoding in scan.encodings:
        counted = {name: limit for name, limit in encoding.counters.items() if name != "average"}
        if not all(counted.values()):
            return None
        steps = len(encoding.step1) * len(encoding.step2) * encoding.n_averages
        n_lines += steps * math.prod(len(limit) for limit in counted.values())
    return n_lines
