"""How much is kept of the scans that have ended: their size together, and their age."""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

from pipelines.hosts.kept_files import OURS, TIME_FORMAT, entries, lock_if_there

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Retention:
    """How much a folder of journals may hold, and for how long; None is no bound."""

    max_bytes: int | None = None
    max_age_s: float | None = None


UNBOUNDED = Retention()


def tidy(
    folder: Path | str, retention: Retention, *, names: re.Pattern[str] = OURS, staying: Collection[str] = (),
    now: datetime | None = None,
) -> list[Path]:  # fmt: skip
    """Delete the oldest finished scans until the folder keeps to `retention`; return what was deleted.

    Scans that are being written or converted, whose journal is locked, stay. Those that are `staying`, by stem, and
    what is not called by one of our `names`, do not count either.
    """
    now = now or datetime.now(timezone.utc)
    scans: dict[str, list[Path]] = {}
    for path in sorted(entries(Path(folder))):
        if names.fullmatch(path.name) and path.stem not in staying and _begun(path.stem) is not None:
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
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
                deleted.append(path)
        total -= sizes[stem]
        log.info("%s: deleted, %s", scans[stem][0].with_suffix(""), "too old" if is_old else "the folder is full")
    return deleted


def _size(path: Path) -> int:
    try:
        return sum(map(_size, path.iterdir())) if path.is_dir() else path.stat().st_size
    except FileNotFoundError:
        return 0


def _begun(stem: str) -> datetime | None:
    try:
        second = datetime.strptime(stem[:15], TIME_FORMAT).replace(tzinfo=timezone.utc)
    except ValueError:
        return None
    return second + timedelta(milliseconds=int(stem[15:18]))
