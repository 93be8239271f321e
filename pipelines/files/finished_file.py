"""A file stands complete under its name, or not at all; and no file is replaced that nobody wanted replaced."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py


class FileProblem(Exception):
    """A file cannot be read or written; the text is one sentence that names it."""


def refuse_existing(path: Path | str, overwrite: bool, *, inputs: Iterable[Path] = ()) -> None:
    """Raise `FileProblem` if a file is there already that may not be replaced; one of the `inputs` never may."""
    if not Path(path).exists():
        return
    if any(each.exists() and each.samefile(path) for each in inputs):
        raise FileProblem(f"{path}: is a file to be read, and would be lost; give the result another name")
    if not overwrite:
        raise FileProblem(f"{path}: exists already; give another name, or allow to overwrite it")


@contextmanager
def finished_or_absent(path: Path | str, overwrite: bool) -> Iterator[h5py.File]:
    """Write to a file beside `path` that takes its name only at the end."""
    refuse_existing(path, overwrite)
    target = Path(path)
    unfinished = target.with_name(f".{target.name}.{os.getpid()}.unfinished")
    with writing(path):
        file = h5py.File(unfinished, "w")
    try:
        yield file
        with writing(path):
            file.close()
            os.replace(unfinished, target)
    finally:
        file.close()
        unfinished.unlink(missing_ok=True)


@contextmanager
def writing(path: Path | str) -> Iterator[None]:
    """Turn what the system says while `path` is written into a `FileProblem`."""
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else error
        raise FileProblem(f"{path}: cannot be written ({reason})") from error
