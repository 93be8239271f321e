"""M4Raw's files: brains at 0.3 T, each repetition a file of its own, fully sampled.

Like fastMRI's, but without readout oversampling: `reconstruction_rss` is as large as `kspace` (slice, coil, readout,
phase). `ismrmrd_header` is not read, for not all of them are valid. The name tells scan and repetition, as in
`2022061003_T203.h5`: the third of T2. Scans are T1, T2, FLAIR and GRE.

Lyu et al., M4Raw, Scientific Data 10:264 (2023).
"""

from __future__ import annotations

import re
from pathlib import Path

import h5py

from pipelines.planes.fastmri import rows_of_readouts
from pipelines.planes.volume import Volume, check_kspace, read_slice, text_attribute

NAME = re.compile(r"(?P<subject>.+)_(?P<contrast>T1|T2|FLAIR|GRE)(?P<repetition>\d\d)")


def volume(path: Path, file: h5py.File) -> Volume | None:
    """Return the volume of a file of this layout, or None. Raises `FileProblem` if it is broken."""
    kspace, images = file["kspace"], file.get("reconstruction_rss")
    if not isinstance(kspace, h5py.Dataset) or kspace.ndim != 4 or not isinstance(images, h5py.Dataset):
        return None
    if images.shape != (len(kspace), *kspace.shape[2:]):
        return None
    check_kspace(path, kspace, coil=1, slice_axes=(1, 2, 3))
    name = NAME.fullmatch(path.stem)
    patient, protocol = (text_attribute(file, key) for key in ("patient_id", "acquisition"))
    return Volume(
        patient, name["subject"] if name else path.stem, protocol or "M4Raw", len(kspace),
        lambda number: [rows_of_readouts(read_slice(path, kspace, number))],
        repetition=int(name["repetition"]) - 1 if name else 0,
    )  # fmt: skip
