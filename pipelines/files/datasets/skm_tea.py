"""SKM-TEA's raw track: knees by qDESS, 3-D, two echoes, transformed along the readout already.

`kspace` (x, ky, kz, echo, coil): each x is a 2-D problem, undersampled along both of its axes, zero-padded beyond what
was acquired. Half of the lines were filled in by the vendor's parallel imaging before publication. `maps`, `target` and
`masks` are not read: maps are estimated as for any other plane. The file names neither the patient nor the size of a
pixel.

Desai et al., SKM-TEA, NeurIPS Datasets and Benchmarks (2021).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import torch
from torch import Tensor

from gadgets.encoding import Limit
from gadgets.mrd import ismrmrd
from kband_core.fourier import to_kspace
from pipelines.files.datasets.m4raw import UNKNOWN_PIXELS
from pipelines.files.datasets.stored_scan import Space, StoredScan, flag, header_xml, line_of
from pipelines.files.datasets.volume import Volume, check_kspace, read_slice
from pipelines.files.finished_file import FileProblem

SAMPLES_AT_ONCE = 2**24  # 128 MiB: all x of as many rows along ky as fit
FILLED_IN = "SKM-TEA: half of the lines were not measured, but filled in by the vendor's parallel imaging"
LAST = flag(ismrmrd.ACQ_LAST_IN_SLICE) | flag(ismrmrd.ACQ_LAST_IN_MEASUREMENT)


def kspace_of(path: Path, file: h5py.File) -> h5py.Dataset | None:
    """Return k-space of a file of this layout, or None. Raises `FileProblem` for lengths that cannot be."""
    kspace = file["kspace"]
    if not isinstance(kspace, h5py.Dataset) or kspace.ndim != 5:
        return None
    check_kspace(path, kspace, coil=4, slice_axes=(1, 2, 3, 4))
    return kspace


def volume(path: Path, file: h5py.File, kspace: h5py.Dataset) -> Volume:
    """Return the volume of a file of this layout. Raises `FileProblem` if it is broken."""

    def read(number: int) -> list[Tensor]:
        return list(read_slice(path, kspace, number).permute(2, 3, 0, 1).contiguous())

    return Volume(None, path.stem, "qDESS", len(kspace), read, source=FILLED_IN)


def scan(path: Path, file: h5py.File, kspace: h5py.Dataset) -> StoredScan:
    """Return the 3-D scan of a file of this layout, without its padding. Raises `FileProblem` if it is broken."""
    n_x, _, n_kz, n_echoes, n_coils = kspace.shape
    acquired = (read_slice(path, kspace, n_x // 2).numpy() != 0).any((2, 3))
    if not acquired.any():
        raise FileProblem(f"{path}: kspace of the middle x, {n_x // 2}, holds nothing but zeros; nothing was acquired")
    rows, partitions = _box(acquired.any(1)), _box(acquired.any(0))
    space = Space.of_millimetres(n_x, len(rows), len(partitions))
    where = np.argwhere(acquired)  # (ky, kz), in the order of lines

    def lines() -> Iterator[ismrmrd.Acquisition]:
        step = max(SAMPLES_AT_ONCE // (n_x * n_kz * n_echoes * n_coils), 1)
        for first in range(rows.start, rows.stop, step):
            block = _whole_readouts(path, kspace, first, min(first + step, rows.stop))
            for ky, kz in where[(where[:, 0] >= first) & (where[:, 0] < first + step)]:
                for echo in range(n_echoes):
                    is_last = (ky, kz) == tuple(where[-1])
                    yield line_of(block[ky - first, kz, echo], flags=LAST * is_last, contrast=echo,
                                  kspace_encode_step_1=int(ky) - rows.start,
                                  kspace_encode_step_2=int(kz) - partitions.start)  # fmt: skip

    limits = {
        "kspace_encoding_step_1": Limit(0, len(rows) - 1, len(rows) // 2),
        "kspace_encoding_step_2": Limit(0, len(partitions) - 1, len(partitions) // 2),
        "contrast": Limit(0, n_echoes - 1, 0),
    }
    xml = header_xml(None, encoded=space, shown=space, limits=limits, n_coils=n_coils, protocol="qDESS",
                     source=(FILLED_IN, UNKNOWN_PIXELS))  # fmt: skip
    return StoredScan(xml, len(where) * n_echoes, lines)


def _box(acquired: np.ndarray) -> range:
    """The smallest range around the middle, which stays the middle, that holds all that was acquired."""
    where, middle = np.flatnonzero(acquired), len(acquired) // 2
    half = max(middle - int(where[0]), int(where[-1]) + 1 - middle)
    return range(max(middle - half, 0), min(middle + half, len(acquired)))


def _whole_readouts(path: Path, kspace: h5py.Dataset, first: int, end: int) -> np.ndarray:
    """Read all x of a block of rows and undo their transform: `(ky, kz, echo, coil, kx)`."""
    try:
        block = torch.from_numpy(kspace[:, first:end])
    except (OSError, RuntimeError) as error:
        raise FileProblem(f"{path}: rows {first} to {end - 1} of kspace cannot be read ({error})") from error
    return to_kspace(block.movedim(0, -1).contiguous(), (-1,)).numpy()
