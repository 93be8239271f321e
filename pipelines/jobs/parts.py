"""What jobs write where all of it becomes one file: parts in a hidden folder beside it, until that file is there."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pipelines.files.finished_file import writing
from pipelines.jobs.job import Job


@contextmanager
def parts_beside(output: Path, files: Sequence[Path], *, kept: Callable[[], bool]) -> Iterator[list[Job]]:
    """Give a job for each file, whose target is a part; at the end the parts go, unless they are to be kept.

    Raises `FileProblem`.
    """
    folder = output.with_name(f".{output.name}.parts")
    with writing(output):
        folder.mkdir(exist_ok=True)
    try:
        yield [Job(path, folder / _name(path)) for path in files]
    finally:
        if not kept():
            shutil.rmtree(folder, ignore_errors=True)


def _name(path: Path) -> str:
    """Files of two folders may bear the same name."""
    return f"{path.stem}-{hashlib.sha256(str(path.absolute()).encode()).hexdigest()[:8]}"
