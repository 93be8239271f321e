"""Planes to train from, in one HDF5 file; split by subject, never by slice."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np
import torch
from torch import Tensor

from kband_core.axes import check_axes

FORMAT, VERSION = "kband planes", 1
TEXTS = ("subject", "protocol", "source")


@dataclass(frozen=True)
class Plane:
    """One 2-D problem as the scanner saw it, whitened and calibrated.

    `kspace (coil, ky, kx)` complex64, zero where `mask` `(ky, kx)` or `(ky, 1)` is False; `csm (set, coil, y, x)`.
    `angle`, in degrees, is that of the band which was acquired, if it was one. Planes of one `subject` are never
    split. Raises `ValueError` if a number is not finite or sizes differ.
    """

    kspace: Tensor
    mask: Tensor
    csm: Tensor
    subject: str
    protocol: str = ""
    source: str = ""
    slice: int = 0
    angle: float | None = None

    def __post_init__(self) -> None:
        wanted = "ky kx" if self.mask.shape[-1] > 1 else "ky line"
        check_axes(
            kspace=(self.kspace, "coil ky kx"), mask=(self.mask, wanted), csm=(self.csm, "set coil ky kx")
        )
        for name, array in (("kspace", self.kspace), ("csm", self.csm)):
            n_bad = int((~torch.isfinite(torch.view_as_real(array))).any(-1).sum())
            if n_bad:
                raise ValueError(
                    f"{self.source or 'plane'}: {n_bad:,} samples of {name} in slice {self.slice} of subject "
                    f"{self.subject} are NaN or infinite; leave that scan out"
                )

    @property
    def is_full(self) -> bool:
        """Whether every sample was acquired, so that images have a reference."""
        return bool(self.mask.all())


class PlaneWriter:
    """Write planes to a file that takes its name only when the `with` ends well and at least one plane came."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._unfinished = self.path.with_name(f".{self.path.name}.{os.getpid()}.unfinished")
        self._n = 0

    def __enter__(self) -> PlaneWriter:
        self._file = h5py.File(self._unfinished, "w")
        self._file.attrs.update(format=FORMAT, version=VERSION)
        self._file.create_group("planes")
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()
        if kind is None and self._n:
            os.replace(self._unfinished, self.path)
        self._unfinished.unlink(missing_ok=True)

    def __len__(self) -> int:
        return self._n

    def append(self, plane: Plane) -> None:
        """Add one plane."""
        group = self._file["planes"].create_group(f"{self._n:06d}")
        for name in ("kspace", "csm", "mask"):
            group[name] = getattr(plane, name).cpu().numpy()
        group.attrs.update({name: getattr(plane, name) for name in TEXTS}, slice=plane.slice)
        if plane.angle is not None:
            group.attrs["angle"] = plane.angle
        self._n += 1


class PlaneFile(Sequence[Plane]):
    """The planes of a file: `len()`, `[i]`, `subjects` and `shapes` of all planes. Raises `ValueError`, one sentence.

    It can be sent to another process, which opens the file for itself.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._opened: h5py.File | None = None
        file = self._file
        if file.attrs.get("format") != FORMAT:
            raise ValueError(f"{path}: not a file of planes; make one with kband prepare")
        if file.attrs["version"] != VERSION:
            raise ValueError(f"{path}: planes of version {file.attrs['version']}, but this program reads {VERSION}")
        self._names = sorted(file["planes"])
        if not self._names:
            raise ValueError(f"{path}: 0 planes, at least 1 expected")
        self.subjects, self.shapes = [], []
        for name in self._names:
            group = file["planes"][name]
            if "csm" not in group:
                raise ValueError(f"{path}: plane {name} has no coil sensitivity maps; the scan needs calibration lines")
            self.subjects.append(str(group.attrs["subject"]))
            self.shapes.append((group["csm"].shape, group["mask"].shape))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": None}

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, index: int) -> Plane:
        group = self._file["planes"][self._names[index]]
        arrays = {name: torch.from_numpy(group[name][()]) for name in ("kspace", "mask", "csm")}
        texts = {name: str(group.attrs[name]) for name in TEXTS}
        angle = group.attrs.get("angle")
        try:
            return Plane(
                **arrays, **texts, slice=int(group.attrs["slice"]), angle=None if angle is None else float(angle)
            )
        except ValueError as error:
            raise ValueError(f"{self.path}: plane {self._names[index]}: {error}") from error

    @property
    def _file(self) -> h5py.File:
        if self._opened is None:
            try:
                self._opened = h5py.File(self.path, "r")
            except FileNotFoundError as error:
                raise ValueError(f"{self.path}: no such file; make it with kband prepare") from error
            except OSError as error:
                raise ValueError(f"{self.path}: not an HDF5 file, so no planes ({error})") from error
        return self._opened


def split_subjects(subjects: Iterable[str], *, seed: int, fraction: float) -> tuple[set[str], set[str]]:
    """Split subjects at random: those to train on, and the `fraction` held out, at least one of each.

    Raises `ValueError` if there is only one subject.
    """
    shuffled = _shuffled(subjects, seed)
    n_held_out = min(max(round(fraction * len(shuffled)), 1), len(shuffled) - 1)
    return set(shuffled[n_held_out:]), set(shuffled[:n_held_out])


def fold_subjects(subjects: Iterable[str], *, seed: int, fold: int, n_folds: int) -> tuple[set[str], set[str]]:
    """Return the subjects to train on and those held out in fold `fold`, 0 to `n_folds` - 1; each is held out once.

    Raises `ValueError` if there are fewer subjects than folds, or only one.
    """
    shuffled = _shuffled(subjects, seed)
    if not 2 <= n_folds <= len(shuffled):
        raise ValueError(f"{n_folds} folds of {len(shuffled)} subjects; 2 to {len(shuffled)} expected")
    if not 0 <= fold < n_folds:
        raise ValueError(f"fold {fold} of {n_folds}; 0 to {n_folds - 1} expected")
    held_out = set(shuffled[fold::n_folds])
    return set(shuffled) - held_out, held_out


def _shuffled(subjects: Iterable[str], seed: int) -> list[str]:
    distinct = sorted(set(subjects))
    if len(distinct) < 2:
        raise ValueError(f"only one subject, {distinct[0]}, but one to train on and another to hold out needed")
    return [distinct[index] for index in np.random.default_rng(seed).permutation(len(distinct))]
