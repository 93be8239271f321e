"""How many lines of an image came, and how many it should have."""

from __future__ import annotations

from typing import NamedTuple


class LineCount(NamedTuple):
    """Lines of one image: received, and expected or None where the header cannot tell. Averages count one by one."""

    received: int
    expected: int | None

    @property
    def complete(self) -> bool | None:
        """Whether nothing is missing; None if nobody can say."""
        return None if self.expected is None else self.received >= self.expected

    def __str__(self) -> str:
        return f"{self.received} of {'an unknown number' if self.expected is None else self.expected}"
