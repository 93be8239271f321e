"""Which images of a series still receive lines, told by the repetitions that begin after their last one."""

from __future__ import annotations

from collections import defaultdict

from gadgets.receiving.image_lines import ImageKey

OLDEST = 2  # repetitions that begin after the last line of an image, before it is given up


class Series:
    """Images that differ in the repetition alone. Each line costs the same, however many images there are."""

    def __init__(self) -> None:
        self._n_begun = 0
        self._since: dict[ImageKey, int] = {}  # repetitions that had begun at the last line of an image
        self._last_heard: defaultdict[int, set[ImageKey]] = defaultdict(set)  # the same the other way round

    def begin(self, key: ImageKey) -> list[tuple[ImageKey, int]]:
        """Take notice of a new image; return those before it that got no line since, and how many began since then."""
        self._n_begun += 1
        silent = []
        for age in range(1, OLDEST + 1):
            silent += [(other, age) for other in sorted(self._last_heard[self._n_begun - age]) if other < key]
        self._last_heard.pop(self._n_begun - OLDEST, None)
        return silent

    def hear(self, key: ImageKey) -> None:
        """Take notice of a line."""
        self._last_heard[self._since.get(key, self._n_begun)].discard(key)
        self._since[key] = self._n_begun
        self._last_heard[self._n_begun].add(key)

    def leave(self, key: ImageKey) -> None:
        """Take notice that an image has left."""
        self._last_heard[self._since.pop(key, self._n_begun)].discard(key)

    def is_silent(self, key: ImageKey) -> bool:
        """Whether a later image began after the last line of this one."""
        return self._since.get(key) != self._n_begun
