"""An image that takes too long gives way to a simpler one."""

import threading
import time
from concurrent.futures import Future
from functools import partial

import pytest

from gadgets.errors import ScanError
from pipelines.chain.time_limit import within


def test_result_in_time_is_the_result():
    """The bound costs nothing but a thread."""
    assert within(10.0, lambda: 42) == 42


def test_exception_is_the_same_exception():
    """A failure in time is that failure."""
    with pytest.raises(KeyError, match="x"):
        within(10.0, lambda: {}["x"])


def test_missed_deadline_is_said():
    """The caller goes on when the time is over; the sentence names it."""
    never = threading.Event()
    with pytest.raises(ScanError, match=r"^not finished within 0.05 s$"):
        within(0.05, lambda: never.wait(20))
    never.set()


def test_what_is_ready_when_one_wakes_too_late_is_late(monkeypatch):
    """On a busy machine the waiting thread may wake long after its time; an image is late all the same."""
    wait = Future.result
    monkeypatch.setattr(Future, "result", lambda future, _: wait(future))
    with pytest.raises(ScanError, match=r"not finished within 0\.001 s"):
        within(1e-3, partial(time.sleep, 0.01))
    assert within(60, lambda: 5) == 5
