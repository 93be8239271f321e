"""fastMRI's multi-coil files: knees and brains, fully sampled, or undersampled for tests.

`kspace` (slice, coil, readout, phase), readout oversampled, zeros where no line was acquired, in test files too;
`ismrmrd_header`, an MRD header; attributes `patient_id` and `acquisition`. Published images and `mask` are not needed.

Zbontar et al., fastMRI, arXiv 1811.08839.
"""

from __future__ import annotations

from pathlib import Path

import defusedxml.ElementTree
import h5py
import numpy as np
from defusedxml.common import DefusedXmlException
from torch import Tensor

from kband_core.fourier import resize, to_image, to_kspace
from pipelines.files.finished_file import FileProblem
from pipelines.planes.volume import LONGEST_TEXT, Volume, check_kspace, read_slice, text_attribute


def volume(path: Path, file: h5py.File) -> Volume | None:
    """Return the volume of a file of this layout, or None. Raises `FileProblem` if it is broken."""
    kspace = file["kspace"]
    if not isinstance(kspace, h5py.Dataset) or kspace.ndim != 4 or "ismrmrd_header" not in file:
        return None
    check_kspace(path, kspace, coil=1, slice_axes=(1, 2, 3))
    n_samples = _samples_kept(path, file["ismrmrd_header"], kspace.shape[2])

    def read(number: int) -> list[Tensor]:
        lines = rows_of_readouts(read_slice(path, kspace, number))
        if n_samples == lines.shape[-1]:
            return [lines]
        return [to_kspace(resize(to_image(lines, (-1,)), (n_samples,), (-1,)), (-1,))]

    patient, protocol = (text_attribute(file, name) for name in ("patient_id", "acquisition"))
    return Volume(patient, path.stem, protocol or "fastMRI", len(kspace), read)


def rows_of_readouts(kspace: Tensor) -> Tensor:
    """Turn a slice (coil, readout, phase) into (coil, ky, kx): here the readout is last."""
    return kspace.mT.contiguous()


def _samples_kept(path: Path, header: h5py.Dataset, n_samples: int) -> int:
    """Count the readout samples without oversampling, from the header's fields of view; nothing else of it is read."""
    if getattr(header, "size", 0) != 1 or header.dtype.itemsize > LONGEST_TEXT:
        raise FileProblem(f"{path}: ismrmrd_header is no text of at most {LONGEST_TEXT:,} bytes")
    try:
        root = defusedxml.ElementTree.fromstring(np.ravel(header[()])[0], forbid_dtd=True)
        encoded, recon = (
            np.float32(root.findtext(f".//{{*}}{space}/{{*}}fieldOfView_mm/{{*}}x", ""))
            for space in ("encodedSpace", "reconSpace")
        )
    except (defusedxml.ElementTree.ParseError, DefusedXmlException, ValueError, TypeError) as error:
        raise FileProblem(f"{path}: ismrmrd_header tells no field of view along the readout ({error})") from error
    if not 0 < recon <= encoded < np.inf:
        raise FileProblem(
            f"{path}: the header measures {encoded:g} mm along the readout, but reconstructs {recon:g} mm"
        )
    return max(int(np.float32(n_samples) / (encoded / recon)), 1)  # single precision, as at the scanner
