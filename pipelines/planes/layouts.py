"""Public data sets in the layouts they are published in, recognised by what the file holds.

Readers bound every length before anything is allocated.
"""

from __future__ import annotations

from pathlib import Path

import h5py

from pipelines.files.finished_file import FileProblem
from pipelines.planes import fastmri, m4raw, skm_tea
from pipelines.planes.volume import Volume

LAYOUTS = (skm_tea, m4raw, fastmri)


def is_dataset(path: Path) -> bool:
    """Whether the file is an HDF5 file with a k-space array, as public data sets have; an MRD file has none."""
    return h5py.is_hdf5(path) and "kspace" in _names(path)


def open_volume(path: Path, file: h5py.File) -> Volume:
    """Recognise the layout of an opened file. Raises `FileProblem` if it is none of those known."""
    for layout in LAYOUTS:
        if volume := layout.volume(path, file):
            return volume
    axes = getattr(file["kspace"], "shape", "no array")
    raise FileProblem(
        f"{path}: kspace is {axes}; expected (slice, coil, readout, phase) of fastMRI or M4Raw, or (x, ky, kz, echo, "
        "coil) of SKM-TEA"
    )


def _names(path: Path) -> list[str]:
    try:
        with h5py.File(path, "r") as file:
            return list(file)
    except OSError:
        return []  # what is wrong with it is said by whoever reads it
