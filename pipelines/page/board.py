"""What the page shows now, in parts that browsers are told of when they change."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from typing import Any

MOST_PICTURES = 24


class Board:
    """Parts by name, each a JSON text with the number of the change that made it; and the newest pictures.

    Written by one thread, read by others.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._parts: dict[str, tuple[int, str]] = {}
        self._pictures: OrderedDict[int, tuple[dict[str, Any], bytes]] = OrderedDict()
        self._n_changes = self._n_pictures = 0

    def put(self, name: str, value: Any) -> None:
        """Write a part; if it is as before, nothing has changed."""
        text = json.dumps(value)
        with self._lock:
            if self._parts.get(name, (0, None))[1] != text:
                self._n_changes += 1
                self._parts[name] = self._n_changes, text

    def add_picture(self, about: dict[str, Any], png: bytes) -> None:
        """Show a picture, in front of the others; the oldest goes."""
        with self._lock:
            self._n_pictures += 1
            self._pictures[self._n_pictures] = {"picture": self._n_pictures, **about}, png
            if len(self._pictures) > MOST_PICTURES:
                self._pictures.popitem(last=False)
            shown = [about for about, _ in reversed(self._pictures.values())]
        self.put("pictures", shown)

    def picture(self, number: int) -> bytes | None:
        """Return a picture as PNG; None if it is not shown any more."""
        with self._lock:
            found = self._pictures.get(number)
        return found and found[1]

    def since(self, seen: int) -> tuple[int, list[tuple[str, str]]]:
        """Return the number of the last change, and the parts that have changed after `seen`, by name."""
        with self._lock:
            return self._n_changes, [(name, text) for name, (at, text) in self._parts.items() if at > seen]
