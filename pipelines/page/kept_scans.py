"""Kept scans that can be replayed, by what stands in their verdicts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pipelines.hosts.kept_files import OURS, entries

MOST_KEPT = 50


def kept_scans(folder: Path) -> list[dict[str, Any]]:
    """Return the newest kept scans, the last one first: name, pipeline, lines, problem."""
    names = sorted((path for path in entries(folder) if OURS.fullmatch(path.name) and path.suffix == ".h5"),
                   reverse=True)  # fmt: skip
    return [{"name": path.stem, **_verdict(path.with_suffix(".json"))} for path in names[:MOST_KEPT]]


def kept_file(folder: Path, name: str) -> Path | None:
    """Return the raw file of a kept scan; None if there is none of that name."""
    path = folder / f"{name}.h5"
    return path if OURS.fullmatch(path.name) and path.is_file() else None


def _verdict(path: Path) -> dict[str, Any]:
    try:
        verdict = json.loads(path.read_text(encoding="utf-8"))
        return {"scan": verdict.get("scan"), "begin": verdict.get("begin"), "pipeline": verdict.get("pipeline"),
                "lines": verdict.get("journal", {}).get("lines"), "problem": verdict.get("problem")}  # fmt: skip
    except (OSError, ValueError, AttributeError):
        return {}
