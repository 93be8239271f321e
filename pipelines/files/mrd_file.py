"""MRD files: raw lines in, images out. What is wrong with a file is one sentence, a `FileProblem`."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType

import h5py
import numpy as np

from gadgets.mrd import ismrmrd
from gadgets.mrd_header import header_text
from kband_core.plural import counted
from pipelines.files.apart import apart
from pipelines.files.finished_file import FileProblem, finished_hdf5, writing
from pipelines.files.image_group import ImageGroup, images_below
from pipelines.files.own_content import require_own_content

hdf5 = ismrmrd.hdf5

LINES_PER_BLOCK = 128  # one by one a file reads 50 times slower
REFERENCE_GROUP = "reference"


class RawFile:
    """An MRD file of raw lines: `header_xml`, `len()`, and iteration over its acquisitions in file order.

    Use it in a `with`. The group "dataset" is taken, or else the only one that has an MRD header.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = path
        self._file = _open(path)
        try:
            self.group = self._find_group()
            self.header_xml = self._read_header()
            self._lines = self._find_lines()
        except FileProblem:
            self._file.close()
            raise

    def __enter__(self) -> RawFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __len__(self) -> int:
        return self._lines.size

    def __iter__(self) -> Iterator[ismrmrd.Acquisition]:
        for first in range(0, len(self), LINES_PER_BLOCK):
            yield from self._read_block(first, min(first + LINES_PER_BLOCK, len(self)))

    def reference(self) -> list[ismrmrd.Image]:
        """Return the images a simulated scan was made from; empty for scans of a real patient."""
        if not isinstance(self._file.get(REFERENCE_GROUP), h5py.Group):
            return []
        return list(_read_images(self.path, self._file[REFERENCE_GROUP]))

    def _find_group(self) -> str:
        if "dataset" in self._file:
            return "dataset"
        groups = [name for name, item in self._file.items() if isinstance(item, h5py.Group)]
        with_header = [name for name in groups if "xml" in self._file[name]]
        if len(with_header) == 1:
            return with_header[0]
        raise FileProblem(f"{self.path}: no group 'dataset'; groups are {_listed(groups)}")

    def _read_header(self) -> str:
        found = self._file.get(f"{self.group}/xml")
        if not isinstance(found, h5py.Dataset) or not found.size:
            raise FileProblem(f"{self.path}: group '{self.group}' has no MRD header (xml)")
        xml = np.ravel(found[()])[0]
        try:
            return header_text(xml if isinstance(xml, bytes) else str(xml))
        except ValueError as error:
            raise FileProblem(f"{self.path}: MRD header: {error}") from error

    def _find_lines(self) -> h5py.Dataset:
        lines = self._file[self.group].get("data")
        if not isinstance(lines, h5py.Dataset) or lines.size == 0:
            raise FileProblem(f"{self.path}: group '{self.group}' has 0 acquisitions, at least 1 expected")
        if lines.dtype.names != hdf5.acquisition_dtype.names or not _has_acquisition_heads(lines):
            raise FileProblem(f"{self.path}: data of group '{self.group}' are not MRD acquisitions")
        return lines

    def _read_block(self, first: int, end: int) -> Iterator[ismrmrd.Acquisition]:
        try:
            block = self._lines[first:end]
        except (OSError, RuntimeError) as error:
            raise FileProblem(f"{self.path}: lines {first} to {end - 1} cannot be read ({error})") from error
        heads = np.ascontiguousarray(block["head"], hdf5.acquisition_header_dtype)
        for number, head, data, traj in zip(range(first, end), heads, block["data"], block["traj"], strict=True):
            header = ismrmrd.AcquisitionHeader.from_buffer_copy(head)
            data, traj = (_as_float(values, self._lines, name) for values, name in ((data, "data"), (traj, "traj")))
            coils, samples, dims = header.active_channels, header.number_of_samples, header.trajectory_dimensions
            if data.size != 2 * coils * samples:
                raise FileProblem(
                    f"{self.path}: line {number} has {data.size:,} values, but its header says "
                    f"{counted(coils, 'coil')} of "
                    f"{samples} complex samples; the file is damaged"
                )
            if traj.size != dims * samples:
                raise FileProblem(
                    f"{self.path}: line {number} has a trajectory of {traj.size:,} values, but its header says "
                    f"{samples} samples in {dims} dimensions; the file is damaged"
                )
            yield ismrmrd.Acquisition(
                header, data.view(np.complex64).reshape(coils, samples), traj.reshape(samples, dims)
            )


def _has_acquisition_heads(lines: h5py.Dataset) -> bool:
    """Whether the heads of lines are acquisition headers, in whatever byte order."""
    return lines.dtype["head"].newbyteorder("=") == hdf5.acquisition_header_dtype.newbyteorder("=")


def _as_float(values: np.ndarray, lines: h5py.Dataset, name: str) -> np.ndarray:
    """Samples of whatever numeric type the file has in single precision. h5py forgets the byte order of such rows."""
    stored = h5py.check_vlen_dtype(lines.dtype[name])
    if not stored.isnative and values.dtype.isnative:
        values = values.view(stored)
    return np.ascontiguousarray(values, np.float32)


def write_raw(
    path: Path | str,
    header_xml: str,
    acquisitions: Iterable[ismrmrd.Acquisition],
    *,
    waveforms: Iterable[ismrmrd.Waveform] = (),
    reference: Iterable[ismrmrd.Image] = (),
    overwrite: bool = False,
) -> None:
    """Write an MRD file of raw lines and waveforms, block by block, and the images they were made from, if any."""
    with finished_hdf5(path, overwrite) as file, writing(path):
        group = file.create_group("dataset")
        _write_header(group, header_xml)
        lines = ((np.frombuffer(line.getHead(), hdf5.acquisition_header_dtype)[0], line.traj.ravel(),
                  np.ascontiguousarray(line.data).ravel().view(np.float32)) for line in acquisitions)  # fmt: skip
        _write_blocks(group, "data", hdf5.acquisition_dtype, lines)
        head_dtype = hdf5.waveform_header_dtype
        waves = [(np.frombuffer(wave.getHead(), head_dtype)[0], wave.data.ravel()) for wave in waveforms]
        if waves:
            _write_blocks(group, "waveforms", hdf5.waveform_dtype, iter(waves))
        images = ImageGroup(file.create_group(REFERENCE_GROUP))
        for image in reference:
            images.append(image)


def _write_blocks(group: h5py.Group, name: str, dtype: np.dtype, rows: Iterator[tuple]) -> None:
    dataset = group.create_dataset(name, (0,), maxshape=(None,), dtype=dtype, chunks=True, fletcher32=True)
    while block := list(itertools.islice(rows, LINES_PER_BLOCK)):
        dataset.resize(dataset.size + len(block), axis=0)
        dataset[-len(block) :] = np.array(block, dtype)


class ImageFile:
    """An MRD file of images being written: under its name it stands complete or not at all.

    Images go to one variable `image_<series>` per series. An image whose size or type differs from the others of its
    series goes to `image_<series>_1`, and so on. If the `with` block ends by an exception, or without an image, no file
    is left.
    """

    def __init__(self, path: Path | str, header_xml: str, *, overwrite: bool = False) -> None:
        self.path, self._header_xml, self._n_images = path, header_xml, 0
        self._unfinished = finished_hdf5(path, overwrite, is_wanted=lambda: self._n_images > 0)

    def __enter__(self) -> ImageFile:
        group = self._unfinished.__enter__().create_group("dataset")
        _write_header(group, self._header_xml)
        self._images = ImageGroup(group)
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._unfinished.__exit__(kind, error, trace)

    def append(self, image: ismrmrd.Image) -> None:
        """Add one image."""
        with writing(self.path):
            self._images.append(image)
        self._n_images += 1


def read_images(path: Path | str) -> list[ismrmrd.Image]:
    """Read all images of a file, whatever its groups are called: by group, then series, then as appended.

    The reference images of a simulated scan do not count: they are `RawFile.reference`.
    """
    return list(apart(_images_of, path))


def _images_of(path: Path | str) -> Iterator[ismrmrd.Image]:
    with _open(path) as file:
        groups = [item for name, item in file.items() if name != REFERENCE_GROUP and isinstance(item, h5py.Group)]
        images = itertools.chain.from_iterable(_read_images(path, group) for group in groups)
        if (first := next(images, None)) is not None:
            yield first
            yield from images
        elif any("data" in group for group in groups):
            raise FileProblem(f"{path}: raw lines, no images; reconstruct them first with kband replay")
        else:
            raise FileProblem(f"{path}: no images; groups are {_listed(file)}")


def _write_header(group: h5py.Group, xml: str) -> None:
    group.create_dataset("xml", (1,), h5py.special_dtype(vlen=bytes))[0] = xml.encode()


def _read_images(path: Path | str, group: h5py.Group) -> Iterator[ismrmrd.Image]:
    try:
        yield from images_below(group)
    except ValueError as error:
        raise FileProblem(f"{path}: {error}; the file is damaged") from error


def _open(path: Path | str) -> h5py.File:
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            raise FileProblem(f"{path}: no such file") from error
        if cut := re.search(r"truncated file: eof = (\d+),.* stored_eof = (\d+)", str(error)):
            have, expected = map(int, cut.groups())
            raise FileProblem(f"{path}: the file is cut off, {have:,} of {expected:,} bytes; copy it again") from error
        if "signature not found" in str(error):
            raise FileProblem(f"{path}: not an HDF5 file, so not an MRD file") from error
        raise FileProblem(f"{path}: cannot be opened ({os.strerror(error.errno) if error.errno else error})") from error
    try:
        require_own_content(path, file)
    except FileProblem:
        file.close()
        raise
    return file


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"
