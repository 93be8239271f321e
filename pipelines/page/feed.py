"""What happens on a server, handed to the page's process; dropped rather than waited for."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from gadgets.errors import PipelineError
from gadgets.scan import Scan
from pipelines.hosts.events import Arrived, Ended, Event, ImageSent, Opened, Told
from pipelines.page.line_tally import LineTally
from pipelines.page.process import PageProcess
from pipelines.page.story import Story
from pipelines.protocol.framing import Id, Message

log = logging.getLogger(__name__)

PERIOD = 0.25  # s between two reports
LONGEST_SILENCE = 2.0  # s; a process that has died is found out so
MOST_EVENTS, MOST_SMALL_TALK = 10_000, 1_000  # that wait; images and asides are the small talk
MOST_BYTES = 64 << 20  # of images that wait
MOST_IMAGES = 24  # in one report, the newest


class Feed:
    """A subscriber of a server's events that never waits: it counts lines, and puts the rest into a bounded queue.

    A thread makes stories of it and reports them to the page's process. One that has died, or takes nothing, is
    started again and told of all scans that run; the server does not notice.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[tuple[float, Event, LineTally | None]] = deque()
        self._bytes = self._n_dropped = 0
        self._has_lost_track = False
        self._tallies: dict[str, LineTally] = {}
        self._stories: dict[str, Story] = {}
        self._known: dict[str, dict[str, Any]] = {}  # to the process: what it was told last of each scan
        self._known_state: dict[str, Any] | None = None
        self._told_at = 0.0
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def __call__(self, event: Event) -> None:
        """Take note of an event."""
        moment = time.time()
        if isinstance(event, Arrived) and event.message.id != Id.CLOSE:
            tally = self._tallies.get(event.scan_id)
            if tally is not None and event.message.id == Id.ACQUISITION:
                tally.add(event.message.parts[0])
            return
        if isinstance(event, Opened):
            self._tallies[event.scan_id] = LineTally(_scan(event.header_xml))
        self._put(moment, event, self._tallies.get(event.scan_id))
        if isinstance(event, Ended):
            self._tallies.pop(event.scan_id, None)  # its story keeps it

    def start(self, state: Callable[[], dict[str, Any]], page: PageProcess) -> None:
        """Report to `page` from now on; `state` is the server's."""
        self._thread = threading.Thread(target=self._work, args=(state, page), daemon=True, name="page")
        self._thread.start()

    def close(self, timeout: float = 5.0) -> None:
        """Report what is left, and end the process."""
        self._over.set()
        if self._thread is not None:
            self._thread.join(timeout)

    def _put(self, moment: float, event: Event, tally: LineTally | None) -> None:
        size = event.message.size if isinstance(event, ImageSent) else 0
        most = MOST_SMALL_TALK if isinstance(event, ImageSent | Told) else MOST_EVENTS
        with self._lock:
            if len(self._waiting) >= most or self._bytes + size > MOST_BYTES:
                self._n_dropped += 1
                self._has_lost_track |= most == MOST_EVENTS
                return
            self._waiting.append((moment, event, tally))
            self._bytes += size

    def _work(self, state: Callable[[], dict[str, Any]], page: PageProcess) -> None:
        is_last = False
        while not is_last:
            is_last = self._over.wait(PERIOD)
            try:
                self._report(page, state(), self._hear())
            except OSError as error:
                log.warning("the page's process is lost (%s) and started again; scans go on", error)
                self._known, self._known_state = {}, None
                page.start_again(self._over.wait)
            except Exception:
                log.exception("the page could not be told; scans go on")
        page.end()

    def _hear(self) -> list[tuple[str, Message]]:
        """Take what waits into the stories; return the newest images, each with its scan."""
        with self._lock:
            waiting, self._waiting, self._bytes = self._waiting, deque(), 0
            if self._has_lost_track:
                self._stories.clear()
                self._known.clear()
                self._has_lost_track = False
                return []
        images = []
        for moment, event, tally in waiting:
            story = self._stories.setdefault(event.scan_id, Story(event.scan_id))
            story.lines = tally or story.lines
            story.take(moment, event)
            if isinstance(event, ImageSent) and event.message.id == Id.IMAGE:
                images.append((event.scan_id, event.message))
        return images[-MOST_IMAGES:]

    def _report(self, page: PageProcess, state: dict[str, Any], images: list[tuple[str, Message]]) -> None:
        """Send what has changed. Raises `OSError` if the process does not take it; it is told again then."""
        state = {**state, "events_dropped": self._n_dropped}
        told = {scan_id: story.report() for scan_id, story in list(self._stories.items()) if story.is_worth_telling}
        changed = [report for scan_id, report in told.items() if self._known.get(scan_id) != report]
        if changed or images or state != self._known_state or time.monotonic() - self._told_at > LONGEST_SILENCE:
            protocols = {scan_id: report.get("protocol") for scan_id, report in told.items()}
            labels = [{"scan": scan_id, "protocol": protocols.get(scan_id)} for scan_id, _ in images]
            page.send({"server": state, "scans": changed, "images": labels}, [image for _, image in images])
            self._told_at = time.monotonic()
        self._known, self._known_state = told, state
        for scan_id in [scan_id for scan_id, story in self._stories.items() if story.is_over]:
            del self._stories[scan_id]


def _scan(header_xml: str) -> Scan | None:
    try:
        return Scan.from_xml(header_xml)
    except PipelineError:
        return None
