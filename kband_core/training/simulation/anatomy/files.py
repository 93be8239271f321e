"""Where real anatomy lies, and whose it is: volumes in NIfTI that other packages carry, none of them ours.

`KBAND_ANATOMY` names folders of them, as in PATH; then comes where Debian puts `mricron-data`, then where `nilearn` is.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

HEAD, BRAIN, AVERAGE = "ch2.nii.gz", "ch2bet.nii.gz", "mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz"
DEBIAN = Path("/usr/share/mricron/templates")
ADVICE = {
    HEAD: "install mricron-data of Debian, or name its folder in KBAND_ANATOMY",
    BRAIN: "install mricron-data of Debian, or name its folder in KBAND_ANATOMY",
    AVERAGE: "install kband[anatomy], or name the folder of nilearn's data in KBAND_ANATOMY",
}
KNOWN = {  # SHA-256 of the voxels: what they are, and by which package they came
    "3b0aff0fc3487b89472e310bcfd90e6f55847e957573a00305d97e814c3fe25f": "Colin 27 (mricron-data of Debian)",
    "892d38227ad52596d71ef4cbd2a39f9cf42a88ec5f1dcd6e7bd6f4e36afd7336": "Colin 27 (mricron-data of Debian)",
    "f62a78124d581a7ecead2d437d0ccad02a0d3deee1be7d22b339746d845a1e09": "ICBM 152 of 2009 (nilearn)",
}
NOTICE = (
    "Copyright (C) 1993-2009 Louis Collins, McConnell Brain Imaging Centre, Montreal Neurological Institute, McGill "
    "University: permission to use, copy, modify and distribute for any purpose and without fee, with this notice"
)


@dataclass(frozen=True)
class Volume:
    """Voxels `(x, y, z)` uint8 of 1 mm, to the right, the front and upwards; where the first lies; a hash of both."""

    name: str
    voxels: Tensor
    first_mm: tuple[int, int, int]
    digest: str


def read_anatomy(name: str) -> Volume:
    """Read the file of that name from the first folder that has it. Raises `ValueError`, one sentence."""
    path = next((folder / name for folder in _folders() if (folder / name).is_file()), None)
    if path is None:
        raise ValueError(f"anatomy: no file {name}; {ADVICE[name]}")
    return _read(path)


def _read(path: Path) -> Volume:
    """Read a volume of uint8 in voxels of 1 mm. Raises `ValueError`, one sentence."""
    try:
        import nibabel
    except ImportError as error:
        raise ValueError("anatomy: nibabel, which reads volumes, is not installed; install kband[anatomy]") from error
    try:
        image = nibabel.load(path)
        voxels, affine = np.ascontiguousarray(image.dataobj), image.affine
    except (OSError, EOFError, ValueError, zlib.error, nibabel.filebasedimages.ImageFileError) as error:
        raise ValueError(f"anatomy: {path} cannot be read ({' '.join(str(error).split())})") from error
    if voxels.ndim != 3 or voxels.dtype != np.uint8 or not np.allclose(affine[:3, :3], np.eye(3)):
        raise ValueError(
            f"anatomy: {path} holds {voxels.dtype} of {'×'.join(map(str, voxels.shape))}, its steps are "
            f"{affine[:3, :3].tolist()} mm; uint8 in steps of 1 mm to the right, the front and upwards expected"
        )
    first = tuple(round(float(mm)) for mm in affine[:3, 3])
    digest = hashlib.sha256(f"{voxels.shape} {first}".encode() + voxels.tobytes()).hexdigest()
    return Volume(path.name, torch.from_numpy(voxels), first, digest)


def whose(volumes: Sequence[Volume]) -> str:
    """Say in one line what volumes are, and their licence, by their voxels: a file may be any under a known name."""
    known = [KNOWN[volume.digest] for volume in volumes if volume.digest in KNOWN]
    unknown = [
        f"{volume.name} of unknown origin and licence (SHA-256 {volume.digest[:12]})"
        for volume in volumes if volume.digest not in KNOWN
    ]  # fmt: skip
    credited = [f"{', '.join(dict.fromkeys(known))} ({NOTICE})"] if known else []
    return "; ".join([*credited, *unknown])


def _folders() -> list[Path]:
    named = [Path(folder) for folder in os.environ.get("KBAND_ANATOMY", "").split(os.pathsep) if folder]
    nilearn = importlib.util.find_spec("nilearn")
    theirs = [Path(nilearn.origin).parent / "datasets" / "data"] if nilearn is not None and nilearn.origin else []
    return [*named, DEBIAN, *theirs]
