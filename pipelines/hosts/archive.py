"""Journals that have ended: made into MRD HDF5 files, recovered after a kill, bounded in size and age."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import queue
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from pipelines.files.finished_file import FileProblem
from pipelines.files.mrd_file import write_raw
from pipelines.files.mrd_stream import StreamFile
from pipelines.hosts.journal import TIME_FORMAT, Journal, write_verdict

log = logging.getLogger(__name__)

STEM = r"\d{8}T\d{9}Z_[A-Za-z0-9_-]{1,64}"
OURS = re.compile(rf"{STEM}\.(?:mrd|h5|json|damaged)")
BEGUN = re.compile(rf"\.{STEM}\.mrd\.begun")
SECONDS_TO_BEGIN = 60.0  # between making a file and locking it: microseconds


@dataclass(frozen=True)
class Retention:
    """How much a folder of journals may hold, and for how long; None is no bound."""

    max_bytes: int | None = None
    max_age_s: float | None = None


class Archive:
    """Makes the journals in `folder` into HDF5 files, one by one, in a thread of its own: first those of dead servers.

    The journals are those that `begin` began, and any whose `hand_over` is `add`.
    """

    def __init__(self, folder: Path | str, retention: Retention = Retention(), *, anonymise: bool = True) -> None:
        self.folder, self.retention, self.anonymise = Path(folder), retention, anonymise
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
                convert(path)
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
    """Convert every journal that a dead server left; return the new files. Journals of living processes stay."""
    recovered: list[Path] = []
    for path in sorted(_entries(Path(folder))):
        with _surviving(path):
            if BEGUN.fullmatch(path.name):
                _remove_begun(path)
            elif OURS.fullmatch(path.name) and path.suffix == ".mrd":
                recovered += _recover_one(path)
    return recovered


def tidy(folder: Path | str, retention: Retention, *, now: datetime | None = None) -> list[Path]:
    """Delete the oldest finished scans until the folder keeps to `retention`; return what was deleted.

    Scans that are being written or converted, and files that are not ours, stay.
    """
    now = now or datetime.now(timezone.utc)
    scans: dict[str, list[Path]] = {}
    for path in sorted(_entries(Path(folder))):
        if OURS.fullmatch(path.name) and _begun(path.stem) is not None:
            scans.setdefault(path.stem, []).append(path)
    sizes = {stem: sum(_size(path) for path in paths) for stem, paths in scans.items()}
    total, deleted = sum(sizes.values()), []
    for stem in sorted(scans):  # the name begins with the time
        is_old = retention.max_age_s is not None and now - _begun(stem) > timedelta(seconds=retention.max_age_s)
        is_too_much = retention.max_bytes is not None and total > retention.max_bytes
        if not (is_old or is_too_much) or (Path(folder) / f"{stem}.mrd").exists():
            continue
        for path in scans[stem]:
            path.unlink(missing_ok=True)
            deleted.append(path)
        total -= sizes[stem]
        log.info("%s: deleted, %s", scans[stem][0].with_suffix(""), "too old" if is_old else "the folder is full")
    return deleted


def _recover_one(path: Path) -> list[Path]:
    with _lock(path) as is_ours:
        if not is_ours:
            return []
        for left_over in path.parent.glob(f".{path.stem}.*.unfinished"):
            left_over.unlink()
        _complete_verdict(path)
        convert(path)
        return [path.with_suffix(".h5")]


def _remove_begun(path: Path) -> None:
    """Remove a file that never got its header, once nobody can be about to lock it."""
    with _lock(path) as is_ours:
        if is_ours and time.time() - path.stat().st_mtime > SECONDS_TO_BEGIN:
            path.unlink()


@contextmanager
def _lock(path: Path) -> Iterator[bool]:
    """Lock a file; False if a living process holds it, or has removed it meanwhile."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_ours = os.fstat(descriptor).st_nlink > 0
        except BlockingIOError:
            is_ours = False
        yield is_ours
    finally:
        os.close(descriptor)


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
        verdict["problem"] = f"the server died while the scan was running, after {len(stream)} lines"
    write_verdict(sidecar, verdict)


@contextmanager
def _surviving(path: Path) -> Iterator[None]:
    """Let what fails for one file do no harm to the others."""
    try:
        yield
    except (FileProblem, OSError, RuntimeError, ValueError) as error:
        log.warning("%s: left as it is (%s)", path, error)


def _entries(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _begun(stem: str) -> datetime | None:
    try:
        second = datetime.strptime(stem[:15], TIME_FORMAT).replace(tzinfo=timezone.utc)
    except ValueError:
        return None
    return second + timedelta(milliseconds=int(stem[15:18]))
