"""Workers end after a number of scans, and no scan notices."""

import threading

from kband_core.threads import THREAD, side_by_side
from pipelines.hosts import worker
from tests.streaming.serving import serving


def test_no_scan_meets_a_worker_that_is_about_to_end():
    """Nine scans in a row on workers that live for two: each gets its images."""
    with serving(worker_module="tests.streaming.short_lived_worker", n_workers=1) as served:
        for _ in range(9):
            served.check()


def test_threads_that_wait_for_the_next_image_end_no_worker():
    """They computed parts of one, and stay."""
    meeting = threading.Barrier(3, timeout=60)
    side_by_side(lambda _: meeting.wait(), range(3), 3)
    stayed = [thread for thread in threading.enumerate() if thread.name.startswith(THREAD)]
    assert stayed
    assert not any(worker._is_running(thread) for thread in stayed)
