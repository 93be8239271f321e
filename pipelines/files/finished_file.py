"""What is wrong with a file is one sentence that names it; and no file is replaced that nobody wanted replaced."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import h5py

from kband_core.finished_file import finished

ENDINGS = {".h5", ".hdf5", ".mrd", ".dat", ".dcm", ".ima", ".nii", ".gz", ".mat", ".npy", ".npz", ".png", ".jpg",
           ".jpeg", ".tif", ".tiff", ".svg", ".pdf", ".csv", ".txt", ".json", ".xml", ".yaml", ".zip"}  # fmt: skip
HDF5 = (".h5", ".hdf5")


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


def refuse_other_format(path: Path | str, *own: str) -> None:
    """Raise `FileProblem` if the name of a file to be written ends like a format that it will not be in."""
    suffix = Path(path).suffix.lower()
    if suffix in ENDINGS - set(own):
        raise FileProblem(f"{path}: what is written is no {suffix} file; give it a name that ends in {own[0]}")


@contextmanager
def finished_hdf5(
    path: Path | str, overwrite: bool, *, is_wanted: Callable[[], bool] = lambda: True
) -> Iterator[h5py.File]:
    """Give an HDF5 file to be written; see `finished`."""
    refuse_existing(path, overwrite)
    with ExitStack() as ending:
        with writing(path):
            file = ending.enter_context(h5py.File(ending.enter_context(finished(path, is_wanted=is_wanted)), "w"))
        yield file
        with writing(path):
            ending.close()


@contextmanager
def finished_file(path: Path | str) -> Iterator[Path]:
    """Give the path of a file to be written, whatever it is; see `finished`."""
    with writing(path), finished(path) as unfinished:
        yield unfinished


@contextmanager
def writing(path: Path | str) -> Iterator[None]:
    """Turn what the system says while `path` is written into a `FileProblem`."""
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else error
        raise FileProblem(f"{path}: cannot be written ({reason})") from error
