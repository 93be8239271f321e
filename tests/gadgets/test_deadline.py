"""An image that takes too long gives way to a simpler one."""

import threading

import pytest

from gadgets.errors import ScanError
from gadgets.recon.deadline import within
from gadgets.recon.reconstruction import Reconstruction


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


def test_late_image_becomes_a_marked_fallback(scan_of, make_acquisition, kspace):
    """A method that hangs on one image costs that image's quality, not the image."""
    from tests.gadgets.streams import images

    lines = [make_acquisition(kspace[:, row], kspace_encode_step_1=row) for row in range(8)]
    (buffer,) = images(scan_of(), lines)
    never = threading.Event()
    array = Reconstruction("SlowRecon", "fallback", 0.05).images(buffer, {"slow": lambda _: never.wait(20)})
    never.set()
    assert array.meta[0, 0, 0]["kband_fallback"] == "SlowRecon: not finished within 0.05 s"
    assert array.data.abs().max() > 0
