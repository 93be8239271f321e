"""A bound on how long one computation may take."""

from __future__ import annotations

import time
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

    def timed() -> tuple[Result, float]:
        begun = time.monotonic()
        return compute(), time.monotonic() - begun

    thread = ThreadPoolExecutor(1, thread_name_prefix="image")
    try:
        result, took = thread.submit(timed).result(seconds)
        if took > seconds:  # and yet ready when this thread woke, late, on a busy machine
            raise TimeIsOver
        return result
    except TimeIsOver as error:
        raise ScanError(f"not finished within {seconds:g} s") from error
    finally:
        thread.shutdown(wait=False)
