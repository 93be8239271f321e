"""What every reader of a public data set makes of a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import torch
from torch import Tensor

from pipelines.files.finished_file import FileProblem

MOST_SLICES, MOST_COILS, LONGEST_AXIS = 65536, 1024, 8192
MOST_SAMPLES = 2**28  # of one slice, all coils and echoes: 2 GiB
LONGEST_TEXT = 1_000_000  # bytes of a header


@dataclass(frozen=True)
class Volume:
    """A file of slices. `read(i)` gives the k-space of a slice, complex64 (coil ky kx), one for each contrast.

    `patient`: the patient's ID, or None where the file has none; `file_subject`: who it is by the file's name.
    """

    patient: str | None
    file_subject: str
    protocol: str
    n_slices: int
    read: Callable[[int], Sequence[Tensor]]
    repetition: int = 0
    source: str | None = None  # where its lines come from, if they were not just measured


def check_kspace(path: Path, kspace: h5py.Dataset, *, coil: int, slice_axes: tuple[int, ...]) -> None:
    """Check type and lengths of a k-space array before anything is read. Raises `FileProblem`.

    `coil`: which axis is the coils'; `slice_axes`: all axes of one slice. Axis 0 is that of the slices.
    """
    if kspace.dtype != np.complex64:
        raise FileProblem(f"{path}: kspace is {kspace.dtype}, complex64 expected")
    lengths = kspace.shape
    most = [MOST_COILS if axis == coil else LONGEST_AXIS if axis else MOST_SLICES for axis in range(len(lengths))]
    n_samples = int(np.prod([lengths[axis] for axis in slice_axes], dtype=object))
    if not all(1 <= n <= bound for n, bound in zip(lengths, most, strict=True)) or n_samples > MOST_SAMPLES:
        raise FileProblem(
            f"{path}: kspace is {lengths}; at most {tuple(most)} and {MOST_SAMPLES:,} samples in a slice are read"
        )


def read_slice(path: Path, kspace: h5py.Dataset, number: int) -> Tensor:
    """Read one slice as the file has it. Raises `FileProblem`."""
    try:
        return torch.from_numpy(kspace[number])
    except (OSError, RuntimeError) as error:
        raise FileProblem(f"{path}: slice {number} of kspace cannot be read ({error})") from error


def text_attribute(file: h5py.File, name: str) -> str | None:
    """Return a text attribute, or None if there is none or if it is empty."""
    value = file.attrs.get(name)
    text = value.decode(errors="replace") if isinstance(value, bytes) else value
    return str(text).strip() or None if text is not None else None
