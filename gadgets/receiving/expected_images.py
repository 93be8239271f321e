"""Which images the header announces, and which of them never came."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from itertools import product
from math import prod

from gadgets.encoding import Encoding
from gadgets.receiving.image_lines import ImageKey
from gadgets.scan import Scan
from kband_core.plural import counted

log = logging.getLogger(__name__)


def missing_images(scan: Scan, sent: Collection[ImageKey]) -> list[str]:
    """Return one sentence for each encoding of whose images some are not among those `sent`.

    For every combination of the counters that the header does not limit, as they were seen, all those are expected
    that it does. Encodings without an image are only logged: noise, navigators or calibration may have one of their
    own.
    """
    if not sent:
        return ["no imaging lines arrived, so there is no image"]
    problems = []
    for encoding in scan.encodings:
        of_encoding = {key for key in sent if key.encoding == encoding.index}
        if not of_encoding:
            log.warning("no image came of encoding %d", encoding.index)
            continue
        first = next((key for key in _announced(encoding, of_encoding) if key not in of_encoding), None)
        if first is not None:
            known = [len(limit) for name in ImageKey._fields[1:] if (limit := encoding.counters[name])]
            n_expected = prod(known) * len({_unlimited(encoding, key) for key in of_encoding})
            which = f"{first}" if len(scan.encodings) == 1 else f"encoding {encoding.index}, {first}"
            received = f"{len(of_encoding)} of {counted(n_expected, 'image')} received lines"
            problems.append(f"{received}; the first without any is {which}")
    return problems


def _announced(encoding: Encoding, seen: Collection[ImageKey]) -> Iterator[ImageKey]:
    limits = [encoding.counters[name] for name in ImageKey._fields[1:]]
    for free in sorted({_unlimited(encoding, key) for key in seen}):
        values = [range(limit.minimum, limit.maximum + 1) if limit else (free[n],) for n, limit in enumerate(limits)]
        yield from (ImageKey(encoding.index, *counters) for counters in product(*values))


def _unlimited(encoding: Encoding, key: ImageKey) -> tuple[int, ...]:
    """Counters of an image of which the header sets no limits; zero for the others."""
    return tuple(0 if encoding.counters[name] else getattr(key, name) for name in ImageKey._fields[1:])
