"""What the server reports becomes what the page shows, and what its history keeps."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path
from typing import Any, BinaryIO

from gadgets.errors import ScanError
from pipelines.page.board import Board
from pipelines.page.frames import read_frame
from pipelines.page.history import History
from pipelines.page.kept_scans import kept_scans
from pipelines.page.picture import picture
from pipelines.page.replays import Replays
from pipelines.protocol.framing import Id, Message

log = logging.getLogger(__name__)

SHOWN = 50  # scans of the history
LOOK_SECONDS = 3.0  # between two looks at the folder of kept scans
IMAGE_PARTS = 4


class Receiver:
    """Reads reports of the server from a stream until it ends, and writes the board."""

    def __init__(self, board: Board, history: History, replays: Replays, folder: Path | None) -> None:
        self._board, self._history, self._replays, self._folder = board, history, replays, folder
        self._running: dict[str, dict[str, Any]] = {}
        self._looked = 0.0
        self._show_ended()
        board.put("running", [])
        board.put("pictures", [])

    def listen(self, stream: BinaryIO) -> None:
        """Take all that comes; what cannot be shown is logged."""
        while (text := read_frame(stream)) is not None:
            report = json.loads(text)
            messages = [[read_frame(stream) for _ in range(IMAGE_PARTS)] for _ in report["images"]]
            if any(part is None for parts in messages for part in parts):
                return
            try:
                self._take(report, [Message(Id.IMAGE, tuple(parts)) for parts in messages])
            except Exception:
                log.exception("the page could not show a report")

    def _take(self, report: dict[str, Any], messages: list[Message]) -> None:
        for scan in report["scans"]:
            self._take_scan({**scan, "replay_of": self._replays.of.get(scan["scan"])})
        for about, message in zip(report["images"], messages, strict=True):
            self._show(about, message)
        self._board.put("running", list(self._running.values()))
        self._board.put("server", {**report["server"], "history_problem": self._history.problem})
        if self._folder and time.monotonic() - self._looked > LOOK_SECONDS:
            self._looked = time.monotonic()
            self._board.put("kept", kept_scans(self._folder))

    def _take_scan(self, scan: dict[str, Any]) -> None:
        if scan["stage"] != "ended":
            self._running[scan["scan"]] = scan
            return
        self._running.pop(scan["scan"], None)
        self._history.add(scan)
        self._show_ended()

    def _show(self, about: dict[str, Any], message: Message) -> None:
        try:
            said, png = picture(message, about["protocol"] or "")
        except (ScanError, ValueError) as error:
            log.warning("an image of scan %s cannot be shown: %s", about["scan"], error)
            return
        self._board.add_picture({**about, **said}, png)

    def _show_ended(self) -> None:
        self._board.put("ended", self._history.newest(SHOWN))
