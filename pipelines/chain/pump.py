"""Read ahead: a source in a thread of its own, order kept, nothing dropped."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

READ_AHEAD = 256  # lines of a file, while gadgets compute

Item = TypeVar("Item")
_END = object()


def pump(source: Iterable[Item], capacity: int) -> Iterator[Item]:
    """Read `source` in a thread, at most `capacity` items ahead.

    Order is kept and nothing dropped; the source's exception reaches the consumer behind the items before it; the
    thread stops at its next item when the consumer stops. A source that can block for ever must be closed first.
    """
    items: queue.Queue[Any] = queue.Queue(capacity)
    stopped = threading.Event()

    def read() -> None:
        try:
            for item in source:
                if not _put(items, (item, None), stopped):
                    return
            _put(items, (_END, None), stopped)
        except BaseException as error:  # noqa: BLE001 - handed to the consumer, whoever must know
            _put(items, (_END, error), stopped)

    thread = threading.Thread(target=read, daemon=True, name="pump")
    thread.start()
    try:
        while True:
            item, error = items.get()
            if error is not None:
                raise error
            if item is _END:
                return
            yield item
    finally:
        stopped.set()


def _put(items: queue.Queue[Any], item: Any, stopped: threading.Event) -> bool:
    while not stopped.is_set():
        try:
            items.put(item, timeout=0.1)
            return True
        except queue.Full:
            continue
    return False
