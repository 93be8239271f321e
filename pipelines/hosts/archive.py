"""Journals that have ended: made into MRD HDF5 files, recovered after a kill, bounded in size and age."""

from __future__ import annotations

import errno
import json
import logging
import os
import queue
import re
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kband_core.plural import counted
from pipelines.files.finished_file import FileProblem
from pipelines.files.mrd_file import write_raw
from pipelines.files.mrd_stream import StreamFile
from pipelines.hosts.journal import Journal, write_verdict
from pipelines.hosts.kept_files import OURS, STEM, entries, lock, lock_if_there
from pipelines.hosts.retention import UNBOUNDED, Retention, tidy

log = logging.getLogger(__name__)

BEGUN = re.compile(rf"\.{STEM}\.mrd\.begun")
UNFINISHED = re.compile(rf"\.({STEM})\.(?:h5|json)\.\d+\.unfinished")
SECONDS_TO_BEGIN = 60.0  # between making a file and locking it: microseconds
NO_ROOM = [os.strerror(number) for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)]
FAILURES = FileProblem, OSError, RuntimeError, ValueError


class Archive:
    """Makes the journals in `folder` into HDF5 files, one by one, in a thread of its own: first those of dead servers.

    The journals are those that `begin` began, and any whose `hand_over` is `add`. `problem`: why the last one did not
    become such a file, or None.
    """

    def __init__(self, folder: Path | str, retention: Retention = UNBOUNDED, *, anonymise: bool = True) -> None:
        self.folder, self.retention, self.anonymise = Path(folder), retention, anonymise
        self.problem: str | None = None
        self._ended: queue.SimpleQueue[tuple[Path, int] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, daemon=True, name="archive")
        self._thread.start()

    def begin(self, scan_id: str, header_xml: str, *, pipeline: str | None = None) -> Journal:
        """Start the journal of a scan; its `end` hands it to this archive."""
        return Journal.begin(
            self.folder, scan_id, header_xml, pipeline=pipeline, anonymise=self.anonymise, hand_over=self.add
        )

    def add(self, path: Path, descriptor: int) -> None:
        """Queue a journal that has ended; its lock is held until it is converted."""
        self._ended.put((path, descriptor))

    def close(self, timeout: float | None = None) -> None:
        """Convert what is queued, then stop. What is left after `timeout` seconds is for the next server."""
        self._ended.put(None)
        self._thread.join(timeout)

    def _work(self) -> None:
        with _surviving(self.folder):
            recover(self.folder)
            tidy(self.folder, self.retention)
        while (ended := self._ended.get()) is not None:
            path, descriptor = ended
            with _surviving(path):
                self.problem = _try_to_convert(path)
            os.close(descriptor)
            with _surviving(self.folder):
                tidy(self.folder, self.retention)


def convert(path: Path) -> None:
    """Make a journal into an MRD HDF5 file of the same name; the journal goes when that is complete on disk.

    A journal that cannot be read to its end, although it is not merely torn, is kept under another name. Raises
    `FileProblem` or `OSError`; the journal stays then.
    """
    target = path.with_suffix(".h5")
    with StreamFile(path) as stream:
        write_raw(target, stream.header_xml, stream, waveforms=stream.waveforms(), overwrite=True)
    for written in (target, target.parent):
        descriptor = os.open(written, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    if stream.is_damaged:
        path.rename(path.with_suffix(".damaged"))
    else:
        path.unlink()


def recover(folder: Path | str) -> list[Path]:
    """Convert every journal that a dead server left; return the new files. Journals of living processes stay.

    So do those that find no room on the disk; what cannot be converted is kept under another name, and not tried again.
    """
    recovered: list[Path] = []
    for path in sorted(entries(Path(folder))):
        with _surviving(path):
            if BEGUN.fullmatch(path.name):
                _remove_old(path, path)
            elif left_over := UNFINISHED.fullmatch(path.name):
                _remove_old(path, path.with_name(f"{left_over[1]}.mrd"))
            elif OURS.fullmatch(path.name) and path.suffix == ".mrd":
                recovered += _recover_one(path)
    return recovered


def _try_to_convert(path: Path) -> str | None:
    """Convert a journal, or set it aside; return what went wrong, in one sentence that names no file."""
    try:
        if shutil.disk_usage(path.parent).free < path.stat().st_size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        convert(path)
    except FAILURES as error:
        reason = next((text for text in NO_ROOM if text in str(error)), None)
        if reason is not None:
            log.warning("%s: left as it is (%s); the next server tries again", path, reason)
            return f"a scan could not be made an HDF5 file ({reason})"
        log.warning("%s: left as it is, as %s (%s)", path, path.with_suffix(".damaged").name, error)
        path.rename(path.with_suffix(".damaged"))
        return "a scan could not be made an HDF5 file (damaged)"
    return None


def _recover_one(path: Path) -> list[Path]:
    with lock(path) as is_ours:
        if not is_ours:
            return []
        for left_over in path.parent.glob(f".{path.stem}.*.unfinished"):
            left_over.unlink()
        with _surviving(path):
            _complete_verdict(path)
        return [path.with_suffix(".h5")] if _try_to_convert(path) is None else []


def _remove_old(path: Path, lock: Path) -> None:
    """Remove what a dead server began; `lock` is what a living one would hold, or be about to."""
    with lock_if_there(lock) as is_ours:
        if is_ours and time.time() - path.stat().st_mtime > SECONDS_TO_BEGIN:
            path.unlink()


def _complete_verdict(path: Path) -> None:
    """Say in the verdict of a scan that its server did not see its end."""
    sidecar = path.with_suffix(".json")
    try:
        verdict: dict[str, Any] = json.loads(sidecar.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        verdict = {"scan": path.stem.partition("_")[2], "end": None}
    if verdict.get("end") is not None:
        return
    with StreamFile(path) as stream:
        n_bytes = os.stat(path).st_size
        verdict["journal"] = {"lines": len(stream), "waveforms": sum(1 for _ in stream.waveforms()), "bytes": n_bytes,
                              "closed": stream.is_closed, "problem": None}  # fmt: skip
        verdict["problem"] = f"the server died while the scan was running, after {counted(len(stream), 'line')}"
    write_verdict(sidecar, verdict)


@contextmanager
def _surviving(path: Path) -> Iterator[None]:
    """Let what fails for one file do no harm to the others."""
    try:
        yield
    except FAILURES as error:
        log.warning("%s: left as it is (%s)", path, error)
