"""What is known of the scans that a server has kept."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kband_core.plural import counted
from pipelines.hosts.kept_files import OURS, entries

RAW = (".h5", ".mrd", ".damaged")


def kept_scans(folder: Path) -> Iterator[str]:
    """Yield a line for each kept scan, the newest first: its file, pipeline, lines and images, and what went wrong."""
    for path in sorted(entries(folder), reverse=True):
        if OURS.fullmatch(path.name) and path.suffix in RAW:
            yield f"{path.name}  {_said(verdict_of(path.with_suffix('.json')))}"


def verdict_of(path: Path) -> dict[str, Any]:
    """Read the verdict of a kept scan; empty where there is none, or it cannot be read."""
    try:
        verdict = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return verdict if isinstance(verdict, dict) else {}


def _said(verdict: dict[str, Any]) -> str:
    if not verdict:
        return "no verdict"
    numbers = [counted(verdict[name], word) for name, word in (("lines", "line"), ("images", "image"))
               if isinstance(verdict.get(name), int)]  # fmt: skip
    if verdict.get("end") is None:
        numbers.append("not ended")
    return ", ".join([str(verdict.get("pipeline")), *numbers, *filter(None, [verdict.get("problem")])])
