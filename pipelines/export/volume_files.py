"""Volumes as NIfTI, NumPy and BART files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipelines.export.cfl import TIME, write_cfl
from pipelines.export.volumes import Volume

TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])  # NIfTI's axes: right, front and head are plus


def save_nifti(path: Path, volume: Volume) -> None:
    """Write `path`.nii.gz, axes (x, y, z, t), with its place in the patient, if the headers tell it."""
    import nibabel

    pixels = volume.pixels.transpose(3, 2, 1, 0)
    affine = None if volume.affine is None else TO_RAS @ volume.affine
    image = nibabel.Nifti1Image(pixels[..., 0] if pixels.shape[3] == 1 else pixels, affine)
    image.header.set_xyzt_units("mm")
    nibabel.save(image, path.with_name(path.name + ".nii.gz"))


def save_npy(path: Path, volume: Volume) -> None:
    """Write `path`.npy, axes (t, z, y, x)."""
    np.save(path.with_name(path.name + ".npy"), volume.pixels)


def save_cfl(path: Path, volume: Volume) -> None:
    """Write `path`.cfl and `path`.hdr: x, y, z, then times along BART's time axis."""
    write_cfl(path, volume.pixels, (TIME, 2, 1, 0))
