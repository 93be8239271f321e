"""fastMRI's multi-coil files: knees and brains, fully sampled, or undersampled for tests.

`kspace` (slice, coil, readout, phase), readout oversampled, zeros where no line was acquired, in test files too;
`ismrmrd_header`, an MRD header; attributes `patient_id` and `acquisition`; in test files `mask` (phase,). Published
images are not needed.

Zbontar et al., fastMRI, arXiv 1811.08839.
"""

from __future__ import annotations

from pathlib import Path
from xml.etree.ElementTree import Element

import h5py
import numpy as np
from torch import Tensor

from gadgets.encoding import Limit
from kband_core.fourier import resize, to_image, to_kspace
from pipelines.files.datasets.published_header import NOT_XML, number_at, numbers_at, parsed, text_at
from pipelines.files.datasets.slice_lines import acquired_columns, scan_of_slices
from pipelines.files.datasets.stored_scan import Space, StoredScan
from pipelines.files.datasets.volume import Volume, check_kspace, read_slice, text_attribute
from pipelines.files.finished_file import FileProblem

AXES = ("x", "y", "z")
LIMIT = ("minimum", "maximum", "center")


def kspace_of(path: Path, file: h5py.File) -> h5py.Dataset | None:
    """Return k-space of a file of this layout, or None. Raises `FileProblem` for lengths or parts that cannot be."""
    kspace = file["kspace"]
    if not isinstance(kspace, h5py.Dataset) or kspace.ndim != 4:
        return None
    if "ismrmrd_header" not in file:
        raise FileProblem(
            f"{path}: kspace is laid out like fastMRI's (slice, coil, readout, phase), but there is no ismrmrd_header, "
            "which tells how far the readout is oversampled"
        )
    check_kspace(path, kspace, coil=1, slice_axes=(1, 2, 3))
    return kspace


def volume(path: Path, file: h5py.File, kspace: h5py.Dataset) -> Volume:
    """Return the volume of a file of this layout. Raises `FileProblem` if it is broken."""
    n_samples = _samples_kept(path, _header(path, file), kspace.shape[2])

    def read(number: int) -> list[Tensor]:
        lines = rows_of_readouts(read_slice(path, kspace, number))
        if n_samples == lines.shape[-1]:
            return [lines]
        return [to_kspace(resize(to_image(lines, (-1,)), (n_samples,), (-1,)), (-1,))]

    patient, protocol = (text_attribute(file, name) for name in ("patient_id", "acquisition"))
    return Volume(patient, path.stem, protocol or "fastMRI", len(kspace), read)


def scan(path: Path, file: h5py.File, kspace: h5py.Dataset) -> StoredScan:
    """Return the scan of a file of this layout. Raises `FileProblem` if it is broken."""
    root, acquired = _header(path, file), acquired_columns(path, kspace)
    n_samples, n_columns = kspace.shape[2:]
    _samples_kept(path, root, n_samples)
    encoded, shown, matrix = (
        numbers_at(root, "encoding", space, what, of=AXES)
        for space, what in (("encodedSpace", "fieldOfView_mm"), ("reconSpace", "fieldOfView_mm"),
                            ("reconSpace", "matrixSize"))
    )  # fmt: skip
    if encoded is None or shown is None or matrix is None:
        raise FileProblem(f"{path}: ismrmrd_header does not tell all of matrix and fields of view")
    limits = None
    if "mask" in file:  # what was left out at the ends is no padding
        acquired &= _own_mask(path, file["mask"], n_columns)
        found = numbers_at(root, "encoding", "encodingLimits", "kspace_encoding_step_1", of=LIMIT)
        limits = found and Limit(*map(int, found))
    protocol = text_attribute(file, "acquisition") or text_at(root, "measurementInformation", "protocolName")
    return scan_of_slices(
        path, kspace, acquired, limits, root=root, protocol=protocol or "fastMRI",
        encoded=Space((n_samples, n_columns, 1), encoded), shown=Space((int(matrix[0]), int(matrix[1]), 1), shown),
    )  # fmt: skip


def rows_of_readouts(kspace: Tensor) -> Tensor:
    """Turn a slice (coil, readout, phase) into (coil, ky, kx): here the readout is last."""
    return kspace.mT.contiguous()


def _header(path: Path, file: h5py.File) -> Element:
    try:
        return parsed(path, file["ismrmrd_header"])
    except NOT_XML as error:
        raise FileProblem(f"{path}: ismrmrd_header tells no field of view along the readout ({error})") from error


def _samples_kept(path: Path, root: Element, n_samples: int) -> int:
    """Count the readout samples without oversampling, from the header's fields of view."""
    spaces = ("encodedSpace", "reconSpace")
    encoded, recon = (number_at(root, "encoding", space, "fieldOfView_mm", "x") for space in spaces)
    if encoded is None or recon is None:
        raise FileProblem(f"{path}: ismrmrd_header tells no field of view along the readout")
    if not 0 < recon <= encoded:
        raise FileProblem(
            f"{path}: the header measures {encoded:g} mm along the readout, but reconstructs {recon:g} mm"
        )
    return max(int(np.float32(n_samples) / (np.float32(encoded) / np.float32(recon))), 1)  # as at the scanner


def _own_mask(path: Path, mask: h5py.Dataset, n_columns: int) -> np.ndarray:
    if not isinstance(mask, h5py.Dataset) or mask.shape != (n_columns,):
        raise FileProblem(f"{path}: mask is {getattr(mask, 'shape', 'no array')}, ({n_columns},) expected, as kspace")
    return mask[()].astype(bool)
