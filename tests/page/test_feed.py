"""A scan never waits for the page, whatever becomes of it."""

import threading

import pytest

from pipelines.chain.verdict import Verdict
from pipelines.hosts.events import Arrived, Ended, ImageSent, Opened
from pipelines.page import feed as feeding
from pipelines.page.feed import Feed
from pipelines.protocol.framing import Id, Message
from tests.streaming.serving import line_bytes, tiny, tiny_scan, wait_until

HEADER = tiny_scan()[0].decode()
OPENED = Opened("0123", HEADER, "sense", "10.0.0.7:40112")
ENDED = Ended("0123", "sense", None, Verdict(n_lines=32, n_images=1))
IMAGE = ImageSent("0123", False, Message(Id.IMAGE, (b"header", b"", b"", bytes(1 << 20))))
LINE = Arrived("0123", Message(Id.ACQUISITION, (line_bytes(tiny()[1][0])[2:342],)))


class Listener:
    """A page's process that keeps what it is told, and dies at first if it `dies`."""

    def __init__(self, *, dies: bool = False) -> None:
        self.reports, self.n_images, self.n_starts = [], 0, 1
        self._dies = dies

    def send(self, report, images) -> None:
        if self._dies:
            raise BrokenPipeError
        self.reports.append(report)
        self.n_images += len(images)

    def start_again(self, wait) -> None:
        self.n_starts += 1
        self._dies = False

    def end(self) -> None:
        """There is no process."""

    def last(self) -> dict:
        """What was told of the scan last."""
        return [scan for report in self.reports for scan in report["scans"]][-1]


@pytest.fixture
def feed():
    feed = Feed()
    yield feed
    feed.close()


def test_lines_are_counted_and_not_queued(feed):
    """A scan of a million lines must not fill the queue, nor be told as fewer."""
    feed(OPENED)
    for _ in range(20_000):
        feed(LINE)
    feed(ENDED)
    feed.start(dict, listener := Listener())
    wait_until(lambda: listener.reports)
    assert (listener.last()["lines"], listener.reports[-1]["server"]["events_dropped"]) == (20_000, 0)


def test_images_that_wait_are_bounded(feed):
    """Nobody takes them: the newest are dropped and counted, the end of the scan is not."""
    feed(OPENED)
    for _ in range(100):
        feed(IMAGE)
    feed(ENDED)
    feed.start(dict, listener := Listener())
    wait_until(lambda: listener.reports)
    n_dropped = listener.reports[0]["server"]["events_dropped"]
    assert n_dropped == 100 - (feeding.MOST_BYTES >> 20) + 1  # a message is longer than its pixels
    assert listener.n_images == feeding.MOST_IMAGES
    assert listener.last()["stage"] == "ended"


def test_a_new_process_is_told_of_running_scans(feed):
    """What the one before knew died with it."""
    feed(OPENED)
    feed.start(dict, listener := Listener(dies=True))
    wait_until(lambda: listener.reports)
    assert listener.n_starts == 2
    assert listener.last()["scan"] == "0123"


def test_an_end_that_was_not_taken_is_told_again(feed):
    """It would be missing in the history."""
    feed(OPENED)
    feed(ENDED)
    feed.start(dict, listener := Listener(dies=True))
    wait_until(lambda: listener.reports)
    assert listener.last()["stage"] == "ended"


def test_what_does_not_change_is_not_told_again(feed):
    """A page that is open overnight costs nothing."""
    feed(OPENED)
    feed.start(dict, listener := Listener())
    wait_until(lambda: len(listener.reports) > 1)
    assert [len(report["scans"]) for report in listener.reports[:2]] == [1, 0]


def test_a_listener_that_hangs_holds_up_nobody(feed):
    """Its thread waits; those that serve scans do not."""
    hangs, goes_on = threading.Event(), threading.Event()

    class Hanging(Listener):
        def send(self, report, images) -> None:
            hangs.set()
            goes_on.wait()

    feed(OPENED)
    feed.start(dict, Hanging())
    assert hangs.wait(60)
    for _ in range(20_000):
        feed(ENDED)
    assert not goes_on.is_set()
    goes_on.set()
