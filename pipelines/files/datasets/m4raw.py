"""M4Raw's files: brains at 0.3 T, each repetition a file of its own, fully sampled.

Like fastMRI's, but without readout oversampling: `reconstruction_rss` is as large as `kspace` (slice, coil, readout,
phase). `ismrmrd_header` is not valid by MRD's schema, and its limits do not fit the lines: of a scan it tells the field
of view, if it can be read, and planes need nothing of it. The name tells scan and repetition, as in
`2022061003_T203.h5`: the third of T2. Scans are T1, T2, FLAIR and GRE.

Lyu et al., M4Raw, Scientific Data 10:264 (2023).
"""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree.ElementTree import Element

import h5py

from pipelines.files.datasets.fastmri import AXES, rows_of_readouts
from pipelines.files.datasets.published_header import NOT_XML, numbers_at, parsed
from pipelines.files.datasets.slice_lines import acquired_columns, scan_of_slices
from pipelines.files.datasets.stored_scan import Space, StoredScan
from pipelines.files.datasets.volume import Volume, check_kspace, read_slice, text_attribute
from pipelines.files.finished_file import FileProblem

NAME = re.compile(r"(?P<subject>.+)_(?P<contrast>T1|T2|FLAIR|GRE)(?P<repetition>\d\d)")
UNKNOWN_PIXELS = "the file tells no field of view: pixels are taken for 1 mm"


def kspace_of(path: Path, file: h5py.File) -> h5py.Dataset | None:
    """Return k-space of a file of this layout, or None. Raises `FileProblem` for lengths that cannot be."""
    kspace, images = file["kspace"], file.get("reconstruction_rss")
    if not isinstance(kspace, h5py.Dataset) or kspace.ndim != 4 or not isinstance(images, h5py.Dataset):
        return None
    if images.shape != (len(kspace), *kspace.shape[2:]):
        return None
    check_kspace(path, kspace, coil=1, slice_axes=(1, 2, 3))
    return kspace


def volume(path: Path, file: h5py.File, kspace: h5py.Dataset) -> Volume:
    """Return the volume of a file of this layout. Raises `FileProblem` if it is broken."""
    name = NAME.fullmatch(path.stem)
    patient, protocol = (text_attribute(file, key) for key in ("patient_id", "acquisition"))
    return Volume(
        patient, name["subject"] if name else path.stem, protocol or "M4Raw", len(kspace),
        lambda number: [rows_of_readouts(read_slice(path, kspace, number))], repetition=_repetition(path),
    )  # fmt: skip


def scan(path: Path, file: h5py.File, kspace: h5py.Dataset) -> StoredScan:
    """Return the scan of a file of this layout. Raises `FileProblem` if it is broken."""
    root, (n_samples, n_columns) = _header(path, file), kspace.shape[2:]
    fov = numbers_at(root, "encoding", "encodedSpace", "fieldOfView_mm", of=AXES)
    matrix = n_samples, n_columns, 1
    space = Space(matrix, fov) if fov else Space.of_millimetres(*matrix)
    return scan_of_slices(
        path, kspace, acquired_columns(path, kspace), root=root, encoded=space, shown=space,
        protocol=text_attribute(file, "acquisition") or "M4Raw", repetition=_repetition(path),
        source=() if fov else (UNKNOWN_PIXELS,),
    )  # fmt: skip


def _header(path: Path, file: h5py.File) -> Element | None:
    try:
        return parsed(path, file.get("ismrmrd_header"))
    except (FileProblem, *NOT_XML):
        return None


def _repetition(path: Path) -> int:
    name = NAME.fullmatch(path.stem)
    return max(int(name["repetition"]) - 1, 0) if name else 0
