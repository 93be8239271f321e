"""What is known of the scans that a server has kept."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kband_core.plural import counted
from pipelines.hosts.kept_files import IMAGES, OURS, entries

RAW = (".h5", ".mrd", ".damaged")


def kept_scans(folder: Path, images: Path | None = None) -> Iterator[str]:
    """Yield a line for each kept scan, the newest first: its file, pipeline, lines and images, and what went wrong.

    `images` is the folder of images that the server has kept; the line says which are those of the scan.
    """
    kept = {_scan_of(path): path for path in (entries(images) if images else [])
            if IMAGES.fullmatch(path.name) and path.suffix != ".json"}  # fmt: skip
    for path in sorted(entries(folder), reverse=True):
        if OURS.fullmatch(path.name) and path.suffix in RAW:
            said = _said(verdict_of(path.with_suffix(".json")))
            found = kept.get(_scan_of(path))
            yield f"{path.name}  {said}" + (f"; {_where(found)}" if found else "")


def _scan_of(path: Path) -> str:
    return path.stem.partition("_")[2]


def _where(path: Path) -> str:
    sent = verdict_of(path.with_suffix(".json")).get("sent")
    return f"images: {path}" + (f", sent {sent}" if sent else "")


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
