"""The lines of slices that are stored as `kspace` (slice, coil, readout, phase), as fastMRI and M4Raw have it.

What is zero in every coil was not acquired: it is padding, or was left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from gadgets.encoding import Limit
from gadgets.mrd import ismrmrd
from pipelines.files.datasets.stored_scan import StoredScan, centred, flag, header_xml, line_of
from pipelines.files.datasets.volume import read_slice
from pipelines.files.finished_file import FileProblem
from pipelines.files.line_grid import LineGrid

FIRST = flag(ismrmrd.ACQ_FIRST_IN_SLICE) | flag(ismrmrd.ACQ_FIRST_IN_ENCODE_STEP1)
LAST = flag(ismrmrd.ACQ_LAST_IN_SLICE) | flag(ismrmrd.ACQ_LAST_IN_ENCODE_STEP1)


def acquired_columns(path: Path, kspace: h5py.Dataset) -> np.ndarray:
    """Tell which columns along phase each slice has, bool `(slice, phase)`, by the middle sample of their readout.

    Raises `FileProblem` if no slice has any.
    """
    try:
        acquired = (kspace[:, :, kspace.shape[2] // 2, :] != 0).any(1)
    except (OSError, RuntimeError) as error:
        raise FileProblem(f"{path}: kspace cannot be read ({error})") from error
    if not acquired.any():
        raise FileProblem(f"{path}: kspace holds nothing but zeros, so no line was acquired")
    return acquired


def scan_of_slices(
    path: Path, kspace: h5py.Dataset, acquired: np.ndarray, limits: Limit | None = None, *, repetition: int = 0,
    **header: Any,
) -> StoredScan:  # fmt: skip
    """Return the scan of the columns that were acquired, bool `(slice, phase)`; of the others no line is sent.

    `limits` are those of encoding step 1; without them, or where some column lies beyond them, the columns from the
    first to the last acquired one are all that was to come.
    """
    columns, n_columns = acquired.any(0), acquired.shape[1]
    if limits is not None:
        rows = np.flatnonzero(columns) - n_columns // 2 + limits.center
        limits = limits if limits.minimum <= rows[0] and rows[-1] <= limits.maximum else None
    limits = limits or centred(columns)
    before, grid = n_columns // 2 - limits.center, LineGrid.of(acquired[acquired.any(1)])

    def lines() -> Iterator[ismrmrd.Acquisition]:
        for number, is_acquired in enumerate(acquired):
            rows = np.flatnonzero(is_acquired)
            plane = read_slice(path, kspace, number).numpy() if len(rows) else None
            for row in rows:
                flags = grid.flags(int(row)) | FIRST * (row == rows[0]) | LAST * (row == rows[-1])
                yield line_of(plane[..., row], flags=int(flags), kspace_encode_step_1=int(row) - before, slice=number,
                              repetition=repetition)  # fmt: skip

    xml = header_xml(
        limits={
            "kspace_encoding_step_1": limits, "slice": Limit(0, len(acquired) - 1, 0),
            "repetition": Limit(repetition, repetition, repetition),
        },
        n_coils=kspace.shape[1], grid=grid, **header,
    )  # fmt: skip
    return StoredScan(xml, int(acquired.sum()), lines)
