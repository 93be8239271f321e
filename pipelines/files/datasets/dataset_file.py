"""A file of a public data set, read as if it were raw lines of a scanner."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import h5py
import torch

from gadgets.mrd import ismrmrd
from pipelines.files.datasets.layouts import opened_scan


def holds_kspace(path: Path | str) -> bool:
    """Whether it is an HDF5 file with a k-space array, in this process; an MRD file has none."""
    try:
        with h5py.File(path, "r") as file:
            return "kspace" in file
    except OSError:
        return False  # `RawFile` says what is wrong with it


class DatasetFile:
    """A file in a known layout: `header_xml`, `len()`, iteration over its lines, like a `RawFile`. Use it in a `with`.
    """

    def __init__(self, path: Path | str) -> None:
        torch.set_num_threads(1)  # threads of a process that this one was forked from are not here
        self.path, self._ending = path, ExitStack()
        self._scan = self._ending.enter_context(opened_scan(Path(path)))
        self.header_xml = self._scan.header_xml

    def __enter__(self) -> DatasetFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.close()

    def __len__(self) -> int:
        return self._scan.n_lines

    def __iter__(self) -> Iterator[ismrmrd.Acquisition]:
        return self._scan.lines()

    def reference(self) -> list[ismrmrd.Image]:
        """Return no images: those that are published were made by other rules."""
        return []
