"""SKM-TEA's raw track: knees by qDESS, 3-D, two echoes, transformed along the readout already.

`kspace` (x, ky, kz, echo, coil): each x is a 2-D problem, undersampled along both of its axes, zero-padded beyond what
was acquired. Half of the lines were filled in by the vendor's parallel imaging before publication. `maps`, `target` and
`masks` are not read: maps are estimated as for any other plane. The file does not name the patient.

Desai et al., SKM-TEA, NeurIPS Datasets and Benchmarks (2021).
"""

from __future__ import annotations

from pathlib import Path

import h5py
from torch import Tensor

from pipelines.planes.volume import Volume, check_kspace, read_slice


def volume(path: Path, file: h5py.File) -> Volume | None:
    """Return the volume of a file of this layout, or None. Raises `FileProblem` if it is broken."""
    kspace = file["kspace"]
    if not isinstance(kspace, h5py.Dataset) or kspace.ndim != 5:
        return None
    check_kspace(path, kspace, coil=4, slice_axes=(1, 2, 3, 4))

    def read(number: int) -> list[Tensor]:
        return list(read_slice(path, kspace, number).permute(2, 3, 0, 1).contiguous())

    return Volume(None, path.stem, "qDESS", len(kspace), read)
