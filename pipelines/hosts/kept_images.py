"""Images that a server has sent, kept in a folder: written by a thread of its own, for which no scan waits."""

from __future__ import annotations

import errno
import logging
import os
import queue
import re
import shutil
import threading
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from gadgets.scan import Scan
from pipelines.export.formats import ending_of, image_sink
from pipelines.export.label import protocol_of
from pipelines.files.finished_file import FileProblem
from pipelines.files.image_sink import ImageSink
from pipelines.hosts.anonymise import anonymised
from pipelines.hosts.events import Ended, Event, ImageSent, Opened
from pipelines.hosts.journal import write_verdict
from pipelines.hosts.kept_files import IMAGES, STEM, entries, stem_of
from pipelines.hosts.retention import UNBOUNDED, Retention, tidy
from pipelines.protocol.framing import Id
from pipelines.protocol.messages import decode_image

if TYPE_CHECKING:
    from pipelines.hosts.image_sending import ImageSending  # needs packages that are extras

log = logging.getLogger(__name__)

MOST_BYTES = 256 << 20  # of images that wait to be written
SPARE_BYTES = 1 << 30  # of the disk, which images leave to the scans: these cannot be made again
UNFINISHED = re.compile(rf"\.{STEM}(?:\.h5)?\.(\d+)\.unfinished")


class KeptImages:
    """A subscriber that keeps the images of each scan in `folder`, as `form`, under the name of time and scan.

    DICOM files say of the patient what the header says; all others, and all names, are made of the anonymised header.
    `sending` brings them to an archive; what it has not sent yet, stays. `n_not_kept`: of how many scans not.
    """

    def __init__(
        self, folder: Path, form: str, retention: Retention = UNBOUNDED, sending: ImageSending | None = None
    ) -> None:
        self.folder, self.n_not_kept = folder, 0
        self._form, self._retention, self._sending = form, retention, sending
        self._problem: str | None = None
        self._waiting: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._lock, self._bytes, self._late = threading.Lock(), 0, set[str]()
        self._scans: dict[str, _OfOneScan] = {}
        self._thread = threading.Thread(target=self._work, daemon=True, name="images")
        self._thread.start()

    @property
    def problem(self) -> str | None:
        """Why the images of the last scan were not kept, or do not get to the archive, or None."""
        return self._problem or (self._sending.problem if self._sending else None)

    def __call__(self, event: Event) -> None:
        """Take note of what concerns images; what waits is bounded."""
        if isinstance(event, ImageSent) and event.message.id == Id.IMAGE:
            with self._lock:
                if self._bytes + event.message.size > MOST_BYTES:
                    self._late.add(event.scan_id)
                    return
                self._bytes += event.message.size
        elif not isinstance(event, Opened | Ended):
            return
        self._waiting.put(event)

    def close(self, timeout: float | None = None) -> None:
        """Write what waits, then stop. What has not been sent is left to the next server."""
        self._waiting.put(None)
        self._thread.join(timeout)
        if self._sending:
            self._sending.close(timeout)

    def _work(self) -> None:
        if self._form == "dicom":
            import pipelines.export.dicom_sink  # noqa: F401 - takes a second: now, and not beside a scan
        while (event := self._waiting.get()) is not None:
            try:
                self._take(event)
            except Exception:
                log.exception("images of a scan could not be kept; scans go on")

    def _take(self, event: Event) -> None:
        if isinstance(event, Opened):
            self._scans[event.scan_id] = _OfOneScan(self.folder, self._form, event)
        elif isinstance(event, ImageSent):
            with self._lock:
                self._bytes -= event.message.size
            self._scans[event.scan_id].append(event)
        elif scan := self._scans.pop(event.scan_id, None):
            self._end(scan, event)

    def _end(self, scan: _OfOneScan, event: Ended) -> None:
        if event.scan_id in self._late:
            self._late.discard(event.scan_id)
            scan.give_up(f"the disk is too slow, more than {MOST_BYTES >> 20} MB waited")
        path = scan.end(event)
        if path is not None or scan.problem:
            self._problem = scan.problem
        self.n_not_kept += scan.problem is not None
        if path is not None and self._sending:
            self._sending.add(path)
        _remove_left_over(self.folder)
        staying = self._sending.staying() if self._sending else ()
        tidy(self.folder, self._retention, names=IMAGES, staying=staying)


class _OfOneScan:
    """The images of one scan on their way to the disk. `problem` says why they are not kept, if they are not."""

    def __init__(self, folder: Path, form: str, opened: Opened) -> None:
        self.problem: str | None = None
        self._path = folder / (stem_of(datetime.now(timezone.utc), opened.scan_id) + ending_of(form))
        self._form, self._opened = form, opened
        self._sink: ImageSink | None = None

    def append(self, sent: ImageSent) -> None:
        """Write an image, unless one before could not be written."""
        if self.problem:
            return
        try:
            if shutil.disk_usage(self._path.parent).free < SPARE_BYTES + sent.message.size:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if self._sink is None:
                self._sink = self._opened_sink().__enter__()
            self._sink.append(decode_image(sent.message))
        except Exception as error:  # noqa: BLE001 - of any package that writes files; scans go on
            self.give_up(str(error) or type(error).__name__)

    def give_up(self, reason: str) -> None:
        """Leave nothing of the images, and say why."""
        self.problem = f"the images of a scan were not kept ({reason})"
        log.warning("%s: %s", self._path, self.problem)
        if self._sink is not None:
            sink, self._sink = self._sink, None
            with suppress(Exception):
                sink.__exit__(FileProblem, FileProblem(reason), None)

    def end(self, event: Ended) -> Path | None:
        """Finish the file or folder, and write beside it what became of the scan; None if nothing stands there."""
        if self._sink is None:
            return None
        try:
            self._sink.__exit__(None, None, None)
            write_verdict(self._path.with_suffix(".json"), {**event.summary(), "form": self._form})
        except Exception as error:  # noqa: BLE001 - as above
            self._sink = None
            self.give_up(str(error) or type(error).__name__)
            return None
        return self._path

    def _opened_sink(self) -> ImageSink:
        header = self._opened.header_xml.rstrip("\0")
        nameless = anonymised(header)
        if self._form != "dicom":
            return image_sink(self._path, nameless, self._form)
        from pipelines.export.dicom_sink import DicomFolder

        protocol = protocol_of(Scan.from_xml(nameless))
        return DicomFolder(self._path, header, self._opened.scan_id, protocol=protocol)


def _remove_left_over(folder: Path) -> None:
    """Remove what a killed server had begun to write."""
    for path in entries(folder):
        if (begun := UNFINISHED.fullmatch(path.name)) and not _is_alive(int(begun[1])):
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
