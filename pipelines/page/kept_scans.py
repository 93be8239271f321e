"""Kept scans that can be replayed, by what stands in their verdicts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipelines.hosts.kept_files import OURS, entries
from pipelines.hosts.kept_list import verdict_of

MOST_KEPT = 50
TOLD = ("scan", "begin", "pipeline", "problem")


def kept_scans(folder: Path) -> list[dict[str, Any]]:
    """Return the newest kept scans, the last one first: name, pipeline, lines, problem."""
    names = sorted((path for path in entries(folder) if OURS.fullmatch(path.name) and path.suffix == ".h5"),
                   reverse=True)  # fmt: skip
    return [{"name": path.stem, **_said(verdict_of(path.with_suffix(".json")))} for path in names[:MOST_KEPT]]


def kept_file(folder: Path, name: str) -> Path | None:
    """Return the raw file of a kept scan; None if there is none of that name."""
    path = folder / f"{name}.h5"
    return path if OURS.fullmatch(path.name) and path.is_file() else None


def _said(verdict: dict[str, Any]) -> dict[str, Any]:
    journal = verdict.get("journal")
    lines = journal.get("lines") if isinstance(journal, dict) else None
    return {**{name: verdict.get(name) for name in TOLD}, "lines": lines} if verdict else {}
