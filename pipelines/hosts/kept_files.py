"""Files of kept scans, and of their images: what they are called, and who holds them."""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import datetime
from pathlib import Path

STEM = r"\d{8}T\d{9}Z_[A-Za-z0-9_-]{1,64}"
OURS = re.compile(rf"{STEM}\.(?:mrd|h5|json|damaged)")
IMAGES = re.compile(rf"{STEM}(?:\.h5|\.json)?")  # a file, or a folder, and what is known of it
TIME_FORMAT = "%Y%m%dT%H%M%S"
NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9_-]")


def stem_of(begun: datetime, scan_id: str) -> str:
    """Return the name of a scan that began at this time, in UTC; nothing in it names the patient."""
    return f"{begun:{TIME_FORMAT}}{begun.microsecond // 1000:03d}Z_{NOT_IN_A_NAME.sub('-', scan_id)[:64] or '-'}"


@contextmanager
def lock(path: Path) -> Iterator[bool]:
    """Lock a file; False if a living process holds it, or has removed it meanwhile."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_ours = os.fstat(descriptor).st_nlink > 0
        except BlockingIOError:
            is_ours = False
        yield is_ours
    finally:
        os.close(descriptor)


@contextmanager
def lock_if_there(path: Path) -> Iterator[bool]:
    """Lock a file; True as well if there is none, so that nobody holds it."""
    with lock(path) if path.exists() else nullcontext(True) as is_ours:
        yield is_ours


def entries(folder: Path) -> list[Path]:
    """All that lies in a folder, if there is one."""
    return list(folder.iterdir()) if folder.is_dir() else []
