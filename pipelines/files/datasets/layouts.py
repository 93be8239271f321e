"""Public data sets in the layouts they are published in, recognised by what the file holds.

Readers bound every length before anything is allocated.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType

import h5py
import numpy as np
import torch
from torch import Tensor

from pipelines.files.apart import apart
from pipelines.files.datasets import fastmri, m4raw, skm_tea
from pipelines.files.datasets.stored_scan import StoredScan
from pipelines.files.datasets.volume import Volume
from pipelines.files.finished_file import FileProblem
from pipelines.files.own_content import require_own_content

LAYOUTS = (skm_tea, m4raw, fastmri)


def is_dataset(path: Path | str) -> bool:
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


@contextmanager
def opened_scan(path: Path) -> Iterator[StoredScan]:
    """Open a file as a scan, in this process. Raises `FileProblem`."""
    with _recognised(path) as (layout, file, kspace):
        yield layout.scan(path, file, kspace)


def _names(path: Path | str) -> Iterator[str]:
    with h5py.File(path, "r") as file:
        yield from file


def _without_slices(path: Path) -> Iterator[Volume]:
    with _recognised(path) as (layout, file, kspace):
        yield replace(layout.volume(path, file, kspace), read=None)


def _slice(path: Path, number: int) -> Iterator[np.ndarray]:
    torch.set_num_threads(1)  # those of the first process are not here
    with _recognised(path) as (layout, file, kspace):
        for contrast in layout.volume(path, file, kspace).read(number):
            yield contrast.numpy()  # a tensor would be sent as a file that its process keeps open


@contextmanager
def _recognised(path: Path) -> Iterator[tuple[ModuleType, h5py.File, h5py.Dataset]]:
    with h5py.File(path, "r") as file:
        known = ((layout, kspace) for layout in LAYOUTS if (kspace := layout.kspace_of(path, file)) is not None)
        layout, kspace = next(known, (None, None))
        if layout is None:
            raise FileProblem(_unknown(path, file["kspace"]))
        require_own_content(path, file)
        yield layout, file, kspace


def _unknown(path: Path, kspace: h5py.Dataset | h5py.Group) -> str:
    axes = getattr(kspace, "shape", "no array")
    if isinstance(axes, tuple) and len(axes) == 3:
        return (
            f"{path}: kspace is {axes}, as in fastMRI's single-coil files (slice, readout, phase); only "
            "multi-coil files are read, for it is coils that tell what lines left out would have held"
        )
    return (
        f"{path}: kspace is {axes}; expected (slice, coil, readout, phase) of fastMRI or M4Raw, or (x, ky, kz, "
        "echo, coil) of SKM-TEA"
    )
