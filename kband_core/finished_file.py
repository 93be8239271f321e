"""A file stands complete under its name, or not at all: whoever reads meanwhile finds the one before it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def finished(path: Path | str, *, is_wanted: Callable[[], bool] = lambda: True) -> Iterator[Path]:
    """Give the path of a hidden file beside `path`, to be written in the `with`; then it takes the name of `path`.

    If the `with` ends by an exception, or nobody wants the file in the end, none is left of it. Raises `OSError`.
    """
    target = Path(path)
    unfinished = target.with_name(f".{target.name}.{os.getpid()}.unfinished")
    try:
        yield unfinished
        if is_wanted():
            os.replace(unfinished, target)
    finally:
        unfinished.unlink(missing_ok=True)
