"""The noun behind a number, as people write it."""


def plural(n: int, noun: str) -> str:
    """Return the noun as it stands behind `n`: 'line' behind 1, 'lines' behind 0, 2 and more."""
    return noun if n == 1 else f"{noun}s"
