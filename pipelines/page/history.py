"""Scans that have ended, in a small SQLite file beside the kept ones; bounded, and nothing of the patient in it."""

from __future__ import annotations

import json
import logging
import sqlite3
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

FILE = "history.sqlite"
MOST_SCANS = 2000
BUSY_SECONDS = 2.0
TABLE = "CREATE TABLE IF NOT EXISTS scans (scan TEXT PRIMARY KEY, ended REAL NOT NULL, report TEXT NOT NULL)"


class History:
    """What the page told of each scan at its end; without a folder only until the process ends.

    `problem`: why it is not kept, or None. A file that cannot be used is left alone.
    """

    def __init__(self, folder: Path | None) -> None:
        self.problem: str | None = None
        try:
            if folder:
                (folder / FILE).touch(mode=0o600)
            self._file = _opened(folder / FILE if folder else ":memory:")
        except (sqlite3.Error, OSError) as error:
            self._complain(error)
            self._file = _opened(":memory:")

    def add(self, report: dict[str, Any]) -> None:
        """Keep a scan that has ended; the oldest make room."""
        try:
            with self._file:
                row = report["scan"], report["at"]["end"], json.dumps(report)
                self._file.execute("INSERT OR REPLACE INTO scans VALUES (?, ?, ?)", row)
                self._file.execute("DELETE FROM scans WHERE scan NOT IN "
                                   "(SELECT scan FROM scans ORDER BY ended DESC LIMIT ?)", (MOST_SCANS,))
        except sqlite3.Error as error:
            self._complain(error)

    def newest(self, most: int) -> list[dict[str, Any]]:
        """Return the scans that ended last, the last one first."""
        try:
            rows = self._file.execute("SELECT report FROM scans ORDER BY ended DESC LIMIT ?", (most,)).fetchall()
            return [json.loads(report) for (report,) in rows]
        except (sqlite3.Error, ValueError) as error:
            self._complain(error)
            return []

    def _complain(self, error: Exception) -> None:
        self.problem = f"{FILE}: the history is not kept ({error})"
        log.warning("%s", self.problem)


def _opened(path: Path | str) -> sqlite3.Connection:
    file = sqlite3.connect(path, timeout=BUSY_SECONDS, check_same_thread=False)
    with file:
        file.execute(TABLE)
    return file
