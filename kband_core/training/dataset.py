"""Planes to train from, in one HDF5 file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np
import torch
from torch import Tensor

from kband_core.axes import check_axes
from kband_core.finished_file import finished
from kband_core.plural import plural
from kband_core.sampling import Grid, Trajectory
from kband_core.shot_angles import nyquist_shots
from kband_core.training.acquired import Acquired

FORMAT, VERSION = "kband planes", 1
TEXTS = ("subject", "protocol", "source")
BAND = ("band_acceleration", "angle")
ARRAYS = {"kspace": (np.complex64, 3), "csm": (np.complex64, 4), "mask": (np.bool_, 2)}  # type and number of axes
ALONG = {"coords": (np.float32, 3), "density": (np.float32, 2)}  # of planes along a trajectory
CHECKSUM_BYTES = 4  # of Fletcher's, in HDF5
DAMAGED = (OSError, RuntimeError, LookupError, TypeError, ValueError, AttributeError, ArithmeticError, MemoryError)


@dataclass(frozen=True)
class Plane:
    """One 2-D problem as the scanner saw it, whitened and calibrated.

    `kspace (coil, ky, kx)` complex64, zero where `mask` `(ky, kx)` or `(ky, 1)` is False; `csm (set, coil, y, x)`.
    Along a `trajectory`, with its density, `kspace (coil, shot, sample)` and `mask (shot, sample)` or `(shot, 1)`.
    `angle`, in degrees, and `band_acceleration` are those of the band which was acquired, if it was one. Planes of one
    `subject` are never split. Raises `ValueError` if a number is not finite, sizes differ, or half a band is told.
    """

    kspace: Tensor
    mask: Tensor
    csm: Tensor
    subject: str
    protocol: str = ""
    source: str = ""
    slice: int = 0
    angle: float | None = None
    band_acceleration: float | None = None
    trajectory: Trajectory | None = None

    def __post_init__(self) -> None:
        if (self.angle is None) != (self.band_acceleration is None):
            raise ValueError(
                f"{self.source or 'plane'}: the band has angle {self.angle} and band_acceleration "
                f"{self.band_acceleration}; both or neither expected"
            )
        if self.trajectory is not None:
            check_axes(
                kspace=(self.kspace, "coil shot sample"), csm=(self.csm, "set coil y x"),
                mask=(self.mask, "shot sample" if self.mask.shape[-1] > 1 else "shot line"),
                coords=(self.trajectory.coords, "shot sample axis"), density=(self.trajectory.density, "shot sample"),
            )  # fmt: skip
        else:
            wanted = "ky kx" if self.mask.shape[-1] > 1 else "ky line"
            check_axes(
                kspace=(self.kspace, "coil ky kx"), mask=(self.mask, wanted), csm=(self.csm, "set coil ky kx")
            )
        for name, array in (("kspace", self.kspace), ("csm", self.csm)):
            n_bad = int((~torch.isfinite(torch.view_as_real(array))).any(-1).sum())
            if n_bad:
                raise ValueError(
                    f"{self.source or 'plane'}: {n_bad:,} {plural(n_bad, 'sample')} of {name} in slice {self.slice} "
                    f"of subject {self.subject} {plural(n_bad, 'is', 'are')} NaN or infinite; leave that scan out"
                )

    @property
    def acquired(self) -> Acquired:
        """What was acquired."""
        band = None if self.angle is None else (self.band_acceleration, self.angle)
        along = self.trajectory
        nyquist = None if along is None else nyquist_shots(along.coords, tuple(self.csm.shape[-2:]))
        return Acquired(Grid(self.mask), tuple(self.kspace.shape[-2:]), band, nyquist)


class PlaneWriter:
    """Write planes to a file that takes its name only when the `with` ends well and at least one plane came."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._n = 0

    def __enter__(self) -> PlaneWriter:
        with ExitStack() as stack:
            unfinished = stack.enter_context(finished(self.path, is_wanted=lambda: self._n > 0))
            self._file = stack.enter_context(h5py.File(unfinished, "w"))
            self._file.attrs.update(format=FORMAT, version=VERSION)
            self._file.create_group("planes")
            self._ending = stack.pop_all()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._ending.__exit__(kind, error, trace)

    def __len__(self) -> int:
        return self._n

    def append(self, plane: Plane) -> None:
        """Add one plane."""
        group = self._file["planes"].create_group(f"{self._n:06d}")
        for name in ("kspace", "csm", "mask"):
            values = getattr(plane, name).cpu().numpy()
            group.create_dataset(name, data=values, chunks=values.shape, fletcher32=True)  # a checksum
        for name in ALONG if plane.trajectory is not None else ():
            group.create_dataset(name, data=getattr(plane.trajectory, name).cpu().numpy(), fletcher32=True)
        group.attrs.update({name: getattr(plane, name) for name in TEXTS}, slice=plane.slice)
        if plane.angle is not None:
            group.attrs.update({name: getattr(plane, name) for name in BAND})
        self._n += 1


class PlaneFile(Sequence[Plane]):
    """The planes of a file: `len()`, `[i]`, `subjects` and `shapes` of all planes. Raises `ValueError`, one sentence.

    `shapes` are those of maps and of samples. It can be sent to another process, which opens the file for itself.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._opened: h5py.File | None = None
        with self._reading("it"):
            form, version = (self._file.attrs.get(name) for name in ("format", "version"))
            names = sorted(self._file["planes"]) if "planes" in self._file else []
        if form != FORMAT:
            raise ValueError(f"{path}: not a file of planes; make one with kband prepare")
        if version != VERSION:
            raise ValueError(f"{path}: planes of version {version}, but this program reads {VERSION}")
        if not names:
            raise ValueError(f"{path}: 0 planes, at least 1 expected")
        self._names, self.subjects, self.shapes = names, [], []
        for name in names:
            with self._reading(f"plane {name}"):
                group = self._file["planes"][name]
                if any(found.file.filename != self._file.filename for found in (group, *group.values())):
                    raise ValueError("it lies in another file, and none is read")
                lacks_maps, is_old = "csm" not in group, "angle" in group.attrs and BAND[0] not in group.attrs
                if not (lacks_maps or is_old):
                    self.subjects.append(str(group.attrs["subject"]))
                    self.shapes.append(_shapes(group))
            if lacks_maps:
                raise ValueError(f"{path}: plane {name} has no coil sensitivity maps; the scan needs calibration lines")
            if is_old:
                raise ValueError(f"{path}: plane {name} is a band of unknown acceleration; make the file anew")

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": None}

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, index: int) -> Plane:
        name = self._names[index]
        with self._reading(f"plane {name}"):
            group = self._file["planes"][name]
            arrays = {array: _tensor(group, array) for array in ARRAYS}
            along = Trajectory(*(_tensor(group, array) for array in ALONG)) if "coords" in group else None
            texts = {text: str(group.attrs[text]) for text in TEXTS}
            band = {key: float(group.attrs[key]) for key in BAND if key in group.attrs}
            number = int(group.attrs["slice"])
        try:
            return Plane(**arrays, **texts, slice=number, **band, trajectory=along)
        except ValueError as error:
            raise ValueError(f"{self.path}: plane {name}: {error}") from error

    def acquired(self, index: int) -> Acquired:
        """What was acquired of a plane, without reading its k-space."""
        name = self._names[index]
        with self._reading(f"plane {name}"):
            group = self._file["planes"][name]
            band = tuple(float(group.attrs[key]) for key in BAND) if "angle" in group.attrs else None
            csm, samples = self.shapes[index]
            nyquist = nyquist_shots(_tensor(group, "coords"), csm[-2:]) if "coords" in group else None
            return Acquired(Grid(_tensor(group, "mask")), samples, band, nyquist)

    def digest(self) -> str:
        """Tell files apart by whose planes they hold, in which order, what was acquired of them, and their samples, of
        which the file keeps checksums; not by place."""
        content = hashlib.sha256(repr((self.subjects, self.shapes)).encode())
        for index in range(len(self)):
            acquired = self.acquired(index)
            content.update(repr(acquired.band).encode() + acquired.sampling.mask.numpy().tobytes())
            with self._reading(f"plane {self._names[index]}"):
                group = self._file["planes"][self._names[index]]
                content.update(_tensor(group, "coords").numpy().tobytes() if "coords" in group else b"")
                content.update(b"".join(self._checksum(_array(group, name)) for name in ("kspace", "csm")))
        return content.hexdigest()

    def _checksum(self, array: h5py.Dataset) -> bytes:
        """Return what stands behind the samples of an array that was written as one piece; else a digest of them."""
        if not (array.fletcher32 and array.chunks == array.shape):
            return hashlib.sha256(array[()].tobytes()).digest()
        piece = array.id.get_chunk_info(0)
        with self.path.open("rb") as file:
            file.seek(piece.byte_offset + piece.size - CHECKSUM_BYTES)
            return file.read(CHECKSUM_BYTES)

    @property
    def _file(self) -> h5py.File:
        if self._opened is None:
            self._opened = h5py.File(self.path, "r")
        return self._opened

    @contextmanager
    def _reading(self, what: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            raise ValueError(f"{self.path}: no such file; make it with kband prepare") from error
        except DAMAGED as error:
            reason = " ".join(str(error).split())
            if self._opened is None:
                raise ValueError(f"{self.path}: not an HDF5 file, so no planes ({reason})") from error
            raise ValueError(f"{self.path}: {what} cannot be read ({reason}); make the file anew") from error


def _shapes(group: h5py.Group) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Of the maps, and of what one coil measured."""
    csm, mask = (_array(group, name).shape for name in ("csm", "mask"))
    samples = _array(group, "coords").shape[:2] if "coords" in group else csm[-2:]
    if mask not in (samples, (samples[0], 1)):
        raise ValueError(f"mask is {mask}, {samples} or {(samples[0], 1)} expected")
    return csm, samples


def _tensor(group: h5py.Group, name: str) -> Tensor:
    return torch.from_numpy(_array(group, name)[()])


def _array(group: h5py.Group, name: str) -> h5py.Dataset:
    array, (kind, n_axes) = group[name], {**ARRAYS, **ALONG}[name]
    if array.is_virtual or array.external:
        raise ValueError(f"{name} lies in another file, and none is read")
    if array.dtype != kind or array.ndim != n_axes:
        raise ValueError(f"{name} is {array.dtype} of {array.ndim} axes, {np.dtype(kind)} of {n_axes} expected")
    return array
