"""Public data sets in the layouts they are published in, recognised by what the file holds.

Readers bound every length before anything is allocated.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import torch
from torch import Tensor

from pipelines.files.apart import apart
from pipelines.files.finished_file import FileProblem
from pipelines.files.own_content import require_own_content
from pipelines.planes import fastmri, m4raw, skm_tea
from pipelines.planes.volume import Volume

LAYOUTS = (skm_tea, m4raw, fastmri)


def is_dataset(path: Path) -> bool:
    """Whether the file is an HDF5 file with a k-space array, as public data sets have; an MRD file has none."""
    try:
        return h5py.is_hdf5(path) and "kspace" in apart(_names, path)
    except FileProblem:
        return False  # what is wrong with it is said by whoever reads it


def open_volume(path: Path) -> Volume:
    """Recognise the layout of a file, which other processes read. Raises `FileProblem` if it is none of those known."""
    (found,) = apart(_without_slices, path)

    def read(number: int) -> list[Tensor]:
        return [torch.from_numpy(kspace) for kspace in apart(partial(_slice, number=number), path)]

    return replace(found, read=read)


def _names(path: Path) -> Iterator[str]:
    with h5py.File(path, "r") as file:
        yield from file


def _without_slices(path: Path) -> Iterator[Volume]:
    with _volume(path) as found:
        yield replace(found, read=None)


def _slice(path: Path, number: int) -> Iterator[np.ndarray]:
    torch.set_num_threads(1)  # those of the first process are not here
    with _volume(path) as found:
        for kspace in found.read(number):  # a tensor would be sent as a file that its process keeps open
            yield kspace.numpy()


@contextmanager
def _volume(path: Path) -> Iterator[Volume]:
    with h5py.File(path, "r") as file:
        found = next(filter(None, (layout.volume(path, file) for layout in LAYOUTS)), None)
        if found is None:
            axes = getattr(file["kspace"], "shape", "no array")
            raise FileProblem(
                f"{path}: kspace is {axes}; expected (slice, coil, readout, phase) of fastMRI or M4Raw, or (x, ky, kz, "
                "echo, coil) of SKM-TEA"
            )
        require_own_content(path, file)
        yield found
