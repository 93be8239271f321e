"""DICOM images that a server has kept, brought to an archive (PACS): it is asked until it has them all."""

from __future__ import annotations

import logging
import threading
from collections import deque
from datetime import datetime, timezone
from pathlib import Path

from kband_core.plural import counted
from pipelines.export.dicom_send import Archive, send
from pipelines.files.finished_file import FileProblem
from pipelines.hosts.journal import write_verdict
from pipelines.hosts.kept_files import IMAGES, entries
from pipelines.hosts.kept_list import verdict_of

log = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 10.0, 300.0  # s; twice as long each time


class ImageSending:
    """Sends folders of images in a thread of its own: first those that stand in `folder` and were never taken.

    What was taken is noted in the verdict beside it, so what a server that ends has not sent is left to the next one.
    `problem`: what waits, and why, or None.
    """

    def __init__(self, folder: Path, archive: Archive, *, first_pause: float = FIRST_PAUSE) -> None:
        self._folder, self._archive, self._first_pause = folder, archive, first_pause
        self._reason: str | None = None
        self._waiting = deque(sorted(folder / stem for stem in unsent(folder)))
        self._news, self._over = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True, name="sending")
        self._thread.start()

    @property
    def problem(self) -> str | None:
        """What an operator should know, in one sentence."""
        n_waiting = len(self._waiting)
        if self._reason is None or not n_waiting:
            return None
        return f"the images of {counted(n_waiting, 'scan')} wait for {self._archive}: {self._reason}"

    def add(self, path: Path) -> None:
        """Send a folder, behind the others."""
        self._waiting.append(path)
        self._news.set()

    def staying(self) -> set[str]:
        """Name what must not be deleted yet."""
        return {path.name for path in self._waiting.copy()}

    def close(self, timeout: float | None = None) -> None:
        """Stop asking. What has not been taken stays where it is."""
        self._over.set()
        self._news.set()
        self._thread.join(timeout)

    def _work(self) -> None:
        pause = self._first_pause
        while not self._over.is_set():
            if not self._waiting:
                self._news.wait()
                self._news.clear()
            elif self._has_sent(self._waiting[0]):
                self._waiting.popleft()
                self._reason, pause = None, self._first_pause
            else:
                self._waiting.rotate(-1)  # one that is never taken keeps the others from nothing
                self._over.wait(pause)
                pause = min(2 * pause, LONGEST_PAUSE)

    def _has_sent(self, path: Path) -> bool:
        try:
            n_files = send([path], self._archive, tries=1, pause=0)
            verdict = path.with_suffix(".json")
            write_verdict(verdict, {**verdict_of(verdict), "sent": f"{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%SZ}"})
        except (FileProblem, OSError) as error:
            self._reason = str(error)
        except Exception as error:
            log.exception("images could not be sent")
            self._reason = f"internal error, {type(error).__name__}: {error}"
        else:
            log.info("%s: %s has %s", path.name, self._archive, counted(n_files, "file"))
            return True
        log.warning("%s: %s", path.name, self._reason)
        return False


def unsent(folder: Path) -> set[str]:
    """Name the folders of images of which no verdict says that they were sent."""
    return {path.name for path in entries(folder) if path.is_dir() and IMAGES.fullmatch(path.name)
            and not verdict_of(path.with_suffix(".json")).get("sent")}  # fmt: skip
