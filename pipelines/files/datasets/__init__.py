"""Public data sets in the layouts they are published in: their volumes become planes like those of a raw file.

The layout is recognised by what the file holds. Readers bound every length before anything is allocated.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import h5py
from torch import Tensor

from gadgets.errors import ScanError
from gadgets.items import TrainingPlane
from kband_core.calibration import espirit_maps, find_acs
from kband_core.coil_noise import calibration_whitening
from kband_core.coils import compress, compression_matrix
from kband_core.fourier import resize
from kband_core.threads import single_thread
from pipelines.files.datasets import fastmri, m4raw, skm_tea
from pipelines.files.datasets.volume import Volume
from pipelines.files.finished_file import FileProblem

# As in prepare.xml: a network must not meet other coils or maps at the scanner.
N_COILS, ACS_LINES = 12, 24
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


def training_planes(volume: Volume, slices: range) -> Iterator[TrainingPlane]:
    """Compress coils and estimate maps, slice by slice; slices of zeros alone are left out.

    These files have no noise scan: coils are whitened by the noise of their calibration lines. Raises `ScanError` where
    calibration is impossible.
    """
    for number in slices:
        for contrast, kspace in enumerate(volume.read(number)):
            if not kspace.any():
                continue
            mask = (kspace != 0).any(0)
            lines = mask.any(-1, keepdim=True)
            try:
                kspace, csm = _calibrated(kspace, mask)
            except ValueError as error:
                raise ScanError(f"slice {number}: {error}, so no plane can be trained on") from error
            is_by_lines = bool((mask == lines).all())
            yield TrainingPlane(kspace, lines if is_by_lines else mask, csm, number, contrast, volume.repetition)


def _calibrated(kspace: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return k-space of at most `N_COILS` virtual coils and its maps, from the sampled centre of `mask` (ky, kx)."""
    ky, kx = mask.shape
    if not mask[ky // 2, kx // 2]:
        raise ValueError("the centre of k-space was not acquired")
    extents = [_around_the_centre(find_acs(along), len(along)) for along in (mask[:, kx // 2], mask[ky // 2])]
    acs = resize(kspace, [min(extents[0], ACS_LINES), extents[1]])
    with single_thread():
        if len(kspace) > N_COILS:
            matrix = compression_matrix(acs, N_COILS)
            kspace, acs = compress(kspace, matrix), compress(acs, matrix)
        matrix = calibration_whitening(acs[None])
        kspace, acs = compress(kspace, matrix), compress(acs, matrix)
        return kspace, espirit_maps(acs, mask.shape, above_noise=True)


def _around_the_centre(block: slice, length: int) -> int:
    """Extent of the largest part of a block of samples that `resize` would cut out of `length`."""
    centre = length // 2
    return min(2 * (centre - block.start) + 1, 2 * (block.stop - centre))


def _names(path: Path) -> list[str]:
    try:
        with h5py.File(path, "r") as file:
            return list(file)
    except OSError:
        return []  # what is wrong with it is said by whoever reads it
