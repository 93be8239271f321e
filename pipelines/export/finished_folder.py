"""A folder of files stands complete under its name, or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pipelines.files.finished_file import FileProblem, refuse_existing, writing


@contextmanager
def finished_folder(
    path: Path, endings: Iterable[str], overwrite: bool, *, is_wanted: Callable[[], bool]
) -> Iterator[Path]:
    """Give a hidden folder beside `path`, to be filled in the `with`; then it takes that name.

    If the `with` ends by an exception, or nobody wants the folder in the end, none is left. A folder that is there is
    replaced only with `overwrite`, and only if it holds nothing but files of these `endings`. Raises `FileProblem`.
    """
    refuse_existing(path, overwrite)
    _refuse_others_files(path, tuple(endings))
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    with writing(path):
        unfinished.mkdir(parents=True)
    try:
        yield unfinished
        if is_wanted():
            with writing(path):
                if path.exists():
                    shutil.rmtree(path)
                os.replace(unfinished, path)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _refuse_others_files(path: Path, endings: tuple[str, ...]) -> None:
    if not path.exists():
        return
    if not path.is_dir():
        raise FileProblem(f"{path}: is a file, and a folder is to be written; give it another name")
    for found in path.rglob("*"):
        if not found.is_dir() and not found.name.endswith(endings):
            raise FileProblem(f"{path}: holds {found.name}, which is none of our files; give the folder another name")
