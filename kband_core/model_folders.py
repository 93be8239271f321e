"""Where trained models stand: folders that `KBAND_MODELS` names, then those shipped. Needs no torch."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SHIPPED = Path(__file__).parent / "shipped"
NAME = re.compile(r"[A-Za-z0-9_-]+")


def available_models() -> dict[str, Path]:
    """Name → card of every model that has its weights beside it, in the order of search."""
    found: dict[str, Path] = {}
    for folder in _folders():
        for path in sorted(folder.glob("*.yaml")):
            if NAME.fullmatch(path.stem) and path.with_suffix(".safetensors").is_file():
                found.setdefault(path.stem, path)
    return found


_searched_first: list[Path] = []


@contextmanager
def searched_first(folder: Path) -> Iterator[None]:
    """Find the models of `folder` before all others, in the `with` alone: for a card that is named by its file."""
    _searched_first.insert(0, folder)
    try:
        yield
    finally:
        _searched_first.remove(folder)


def _folders() -> list[Path]:
    named = os.environ.get("KBAND_MODELS", "").split(os.pathsep)
    return [*_searched_first, *(Path(folder) for folder in named if folder), SHIPPED]
