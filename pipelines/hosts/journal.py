"""Every scan on disk as it arrives: an MRD stream that a killed server leaves readable up to its last line."""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

from kband_core.finished_file import finished
from kband_core.plural import counted
from pipelines.hosts.anonymise import anonymised
from pipelines.hosts.events import Arrived, Ended, Event, Opened
from pipelines.hosts.kept_files import stem_of
from pipelines.protocol.framing import Id, Message
from pipelines.protocol.messages import text_message

log = logging.getLogger(__name__)

KEPT = (Id.ACQUISITION, Id.WAVEFORM, Id.CLOSE)


class Journal:
    """One scan being written to `path`, message by message; `problem` says why writing stopped, if it did.

    What `append` has returned from survives a kill of this process, not a loss of power. A journal that cannot be
    written never stops a scan. While the process lives the file is locked, and the kernel drops the lock at its death.
    """

    def __init__(self, path: Path, scan_id: str, pipeline: str | None, begun: datetime) -> None:
        self.path, self.problem = path, None
        self._scan_id, self._pipeline, self._begun = scan_id, pipeline, begun
        self._n_lines = self._n_waveforms = self._n_bytes = 0
        self._is_closed = False
        self._descriptor: int | None = None
        self._hand_over: Callable[[Path, int], None] | None = None

    @classmethod
    def begin(
        cls,
        folder: Path | str,
        scan_id: str,
        header_xml: str,
        *,
        pipeline: str | None = None,
        anonymise: bool = True,
        hand_over: Callable[[Path, int], None] | None = None,
    ) -> Journal:
        """Start the journal of a scan in `folder`, named after the time and the scan.

        `hand_over` gets the file and its descriptor, still locked, when the scan has ended; without it the file stays.
        """
        begun = datetime.now(timezone.utc)
        journal = cls(Path(folder) / f"{stem_of(begun, scan_id)}.mrd", scan_id, pipeline, begun)
        journal._hand_over = hand_over
        text = header_xml.rstrip("\0")
        try:
            journal._open(text_message(Id.HEADER, anonymised(text) if anonymise else text))
        except OSError as error:
            journal._stop(error)
        return journal

    def append(self, message: Message) -> None:
        """Write a line, a waveform or the scanner's CLOSE; other messages are not kept."""
        if self.problem is not None or self._is_closed or message.id not in KEPT:
            return
        try:
            self._write(message)
        except OSError as error:
            self._stop(error)
            return
        self._n_lines += message.id == Id.ACQUISITION
        self._n_waveforms += message.id == Id.WAVEFORM
        self._is_closed = message.id == Id.CLOSE

    def end(self, verdict: Mapping[str, Any]) -> None:
        """Write the verdict beside the journal and let go of it. The scan has ended, as it should or not."""
        now = datetime.now(timezone.utc)
        try:
            write_verdict(self.path.with_suffix(".json"), {**self._facts(), "end": _utc(now), **verdict})
        except OSError as error:
            log.warning("%s: the verdict on the scan cannot be written (%s)", self.path, error.strerror)
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            (self._hand_over or _release)(self.path, descriptor)

    def _open(self, header: Message) -> None:
        """Make the file under a hidden name; under its own it is locked and has a header."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        hidden = self.path.with_name(f".{self.path.name}.begun")
        descriptor = os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._descriptor = descriptor
            self._write(header)
            if self.path.exists():
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
            os.rename(hidden, self.path)
        except OSError:
            self._descriptor = None
            os.close(descriptor)
            hidden.unlink(missing_ok=True)
            raise
        write_verdict(self.path.with_suffix(".json"), self._facts())

    def _write(self, message: Message) -> None:
        """Write a message in one system call; a second one follows only to learn why the first wrote too little."""
        parts = message.pieces()
        n_written = os.writev(self._descriptor, parts)
        if n_written < message.size:
            rest = b"".join(parts)[n_written:]
            if os.write(self._descriptor, rest) < len(rest):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._n_bytes += message.size

    def _stop(self, error: OSError) -> None:
        """Stop writing; what stands is cut behind its last whole message."""
        self.problem = f"the journal stopped after {counted(self._n_lines, 'line')} ({error.strerror or error})"
        log.warning("%s: %s", self.path, self.problem)
        if self._descriptor is not None:
            try:
                os.ftruncate(self._descriptor, self._n_bytes)
            except OSError as cut:
                log.info("%s: a torn message stays at the end (%s)", self.path, cut.strerror)

    def _facts(self) -> dict[str, Any]:
        return {
            "scan": self._scan_id, "pipeline": self._pipeline, "kband": _version(), "begin": _utc(self._begun),
            "end": None, "problem": None,
            "journal": {"lines": self._n_lines, "waveforms": self._n_waveforms, "bytes": self._n_bytes,
                        "closed": self._is_closed, "problem": self.problem},
        }  # fmt: skip


class Journals:
    """The journals of the scans that run, written as these announce what comes. `begin` starts one.

    `problem`: why the last scan is not kept whole, or None; `n_not_kept`: of how many that was so. `later` says
    why the last journal could not be made a file, or None.
    """

    def __init__(self, begin: Callable[..., Journal], later: Callable[[], str | None] = lambda: None) -> None:
        self._begin, self._later = begin, later
        self._open: dict[str, Journal] = {}
        self._problem: str | None = None
        self.n_not_kept = 0

    @property
    def problem(self) -> str | None:
        """What an operator should know, in one sentence that names no scan."""
        return self._problem or self._later()

    def __call__(self, event: Event) -> None:
        """Begin, write or end the journal of the event's scan; one that never had a header has none."""
        if isinstance(event, Opened):
            journal = self._begin(event.scan_id, event.header_xml, pipeline=event.pipeline)
            self._open[event.scan_id] = journal
            self._problem = journal.problem or self._problem
        elif isinstance(event, Arrived):
            journal = self._open[event.scan_id]
            journal.append(event.message)
            self._problem = journal.problem or self._problem
        elif isinstance(event, Ended) and (journal := self._open.pop(event.scan_id, None)):
            journal.end(event.summary())
            self._problem = journal.problem
            self.n_not_kept += journal.problem is not None


def write_verdict(path: Path, verdict: Mapping[str, Any]) -> None:
    """Write a verdict as JSON: under its name it stands complete. Raises `OSError`."""
    with finished(path) as unfinished:
        unfinished.write_text(json.dumps(verdict, indent=1, default=str) + "\n", encoding="utf-8")


def _release(_: Path, descriptor: int) -> None:
    os.close(descriptor)


def _utc(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")


def _version() -> str:
    try:
        return metadata.version("kband")
    except metadata.PackageNotFoundError:
        return "not installed"
