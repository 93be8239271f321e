"""The folder that a training writes to: made, held by one training alone, and what is wrong with it in one sentence."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

LOCK = ".training"  # an empty file: the lock ends with the process, the file may stay
HELD = (errno.EACCES, errno.EAGAIN)  # by another process, says POSIX


@contextmanager
def held_folder(folder: Path, *, writes: bool) -> Iterator[None]:
    """Make the folder and hold it while it is written to; of several processes only the one that `writes` holds it.

    Raises `ValueError`, one sentence, if another training holds it, or for whatever the system says within the `with`:
    a full disk, a folder that may not be written to.
    """
    with ExitStack() as ending, _in_one_sentence(folder):
        if writes:
            folder.mkdir(parents=True, exist_ok=True)
            lock = ending.enter_context((folder / LOCK).open("w"))
            try:
                fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # not inherited by the processes that are forked
            except OSError as error:
                if error.errno not in HELD:
                    raise
                raise ValueError(f"{folder}: another training writes here; give this one another folder") from error
        yield


@contextmanager
def _in_one_sentence(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else error
        raise ValueError(f"{error.filename or folder}: cannot be written ({reason})") from error
