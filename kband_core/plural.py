"""The noun behind a number, as people write it."""

from __future__ import annotations


def plural(n: int, one: str, many: str | None = None) -> str:
    """Return what stands behind `n`: `one` behind 1, else `many`, or `one` with an s: 'line is', 'lines are'."""
    return one if n == 1 else many or f"{one}s"


def counted(n: int, one: str, many: str | None = None) -> str:
    """Return the number with what stands behind it: '1 line', '2 lines'."""
    return f"{n} {plural(n, one, many)}"
