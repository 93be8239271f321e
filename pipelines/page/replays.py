"""Kept scans sent through the server once more: by a client like any other, one at a time."""

from __future__ import annotations

import logging
import re
import threading
from pathlib import Path

from gadgets.errors import PipelineError, ScanError
from pipelines.chain.verdict import Verdict
from pipelines.files.finished_file import FileProblem
from pipelines.files.mrd_stream import UpToDamage, open_raw
from pipelines.hosts.client import Client, Target
from pipelines.page.board import Board
from pipelines.page.kept_scans import kept_file
from pipelines.protocol.request import offered_pipelines

log = logging.getLogger(__name__)

GREETING = re.compile(r"INFO\s+scan (\w+): ")  # by which the server tells a client its scan's id
OTHERWISE = ("_buffered", "_warm")  # begin with buffers; do here what the one of the shorter name does


def replay_pipelines() -> list[str]:
    """Name the pipelines that a kept scan can be replayed through: those of clients that begin with lines."""
    return [name for name in offered_pipelines() if not name.endswith(OTHERWISE)]


class Refused(Exception):
    """A replay that is not begun, and why."""


class Replays:
    """Sends kept scans to the server at `address`; how that goes stands on the board, under "replay".

    `of`: which kept scan a scan of this process replays, by id.
    """

    def __init__(self, folder: Path | None, address: tuple[str, int], board: Board) -> None:
        self.of: dict[str, str] = {}
        self._folder, self._address, self._board = folder, address, board
        self._at_work = threading.Lock()

    def begin(self, name: str, pipeline: str) -> None:
        """Begin to replay. Raises `Refused`."""
        path = kept_file(self._folder, name) if self._folder else None
        if path is None:
            raise Refused(f"replay: no kept scan {name[:100]!r}")
        if pipeline not in (offered := replay_pipelines()):
            raise Refused(f"replay: no pipeline {pipeline[:100]!r} for kept scans; {', '.join(offered)}")
        if not self._at_work.acquire(blocking=False):
            raise Refused("replay: another one runs, one at a time is done")
        threading.Thread(target=self._run, args=(path, pipeline), daemon=True, name="replay").start()

    def _run(self, path: Path, pipeline: str) -> None:
        about = {"name": path.stem, "pipeline": pipeline}
        try:
            self._board.put("replay", {**about, "state": "runs"})
            problem = self._replay(path, pipeline)
            self._board.put("replay", {**about, "state": "failed" if problem else "is done", "problem": problem})
        finally:
            self._at_work.release()

    def _replay(self, path: Path, pipeline: str) -> str | None:
        verdict = Verdict()
        try:
            client = Client(Target(*self._address, pipeline, dialect="fire"), lambda text: self._hear(text, path.stem))
            with open_raw(path) as raw:
                for _ in client.run(raw.header_xml, UpToDamage(raw), verdict):
                    pass  # the server has told the page of it
        except (PipelineError, ScanError, FileProblem) as error:
            return str(error)
        except Exception as error:
            log.exception("a replay failed")
            return f"internal error, {type(error).__name__}: {error}"
        return verdict.flaw

    def _hear(self, text: str, name: str) -> None:
        if greeting := GREETING.match(text):
            self.of[greeting[1]] = name
