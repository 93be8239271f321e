"""A bound on how long one computation may take."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as TimeIsOver
from typing import TypeVar

from gadgets.errors import ScanError

Result = TypeVar("Result")


def within(seconds: float, compute: Callable[[], Result]) -> Result:
    """Return what `compute` returns, or raises; `ScanError` if it takes more than `seconds`.

    Nothing can stop a computation that runs: it goes on in its thread, and its result is thrown away. A worker of the
    server notices such a thread, and ends with it.
    """
    thread = ThreadPoolExecutor(1, thread_name_prefix="image")
    try:
        return thread.submit(compute).result(seconds)
    except TimeIsOver as error:
        raise ScanError(f"not finished within {seconds:g} s") from error
    finally:
        thread.shutdown(wait=False)
