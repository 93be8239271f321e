"""How much is kept of the scans that have ended: their size together, and their age."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

from pipelines.hosts.journal import TIME_FORMAT
from pipelines.hosts.kept_files import OURS, entries, lock_if_there

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Retention:
    """How much a folder of journals may hold, and for how long; None is no bound."""

    max_bytes: int | None = None
    max_age_s: float | None = None


UNBOUNDED = Retention()


def tidy(folder: Path | str, retention: Retention, *, now: datetime | None = None) -> list[Path]:
    """Delete the oldest finished scans until the folder keeps to `retention`; return what was deleted.

    Scans that are being written or converted, whose journal is locked, and files that are not ours, stay.
    """
    now = now or datetime.now(timezone.utc)
    scans: dict[str, list[Path]] = {}
    for path in sorted(entries(Path(folder))):
        if OURS.fullmatch(path.name) and _begun(path.stem) is not None:
            scans.setdefault(path.stem, []).append(path)
    sizes = {stem: sum(_size(path) for path in paths) for stem, paths in scans.items()}
    total, deleted = sum(sizes.values()), []
    for stem in sorted(scans):  # the name begins with the time
        is_old = retention.max_age_s is not None and now - _begun(stem) > timedelta(seconds=retention.max_age_s)
        is_too_much = retention.max_bytes is not None and total > retention.max_bytes
        if not (is_old or is_too_much):
            continue
        with lock_if_there(Path(folder) / f"{stem}.mrd") as is_ours:
            if not is_ours:
                continue
            for path in scans[stem]:
                path.unlink(missing_ok=True)
                deleted.append(path)
        total -= sizes[stem]
        log.info("%s: deleted, %s", scans[stem][0].with_suffix(""), "too old" if is_old else "the folder is full")
    return deleted


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
