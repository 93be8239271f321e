"""Workers end after a number of scans, and no scan notices."""

from tests.streaming.serving import serving


def test_no_scan_meets_a_worker_that_is_about_to_end():
    """Nine scans in a row on workers that live for two: each gets its images."""
    with serving(worker_module="tests.streaming.short_lived_worker", n_workers=1) as served:
        for _ in range(9):
            served.check()
