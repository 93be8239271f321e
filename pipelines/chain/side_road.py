"""The side road: what a gadget says aside passes the others, to the host, at the moment it is said."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from gadgets.items import Aside

log = logging.getLogger(__name__)

Hear = Callable[[Aside], object]


def for_the_next(stream: Iterable[Any], hear: Hear) -> Iterator[Any]:
    """Yield what is for the next gadget; `hear` gets every `Aside`, here and now, so that nothing is kept waiting."""
    for item in stream:
        if isinstance(item, Aside):
            hear(item)
        else:
            yield item


def log_aside(aside: Aside) -> None:
    """Write it into the log: for hosts that have nobody to tell. Decisions, one for each line, are for debugging."""
    level = logging.DEBUG if aside.kind == "decision" else logging.getLevelName(aside.level)
    log.log(level, "%s", aside.sentence)
