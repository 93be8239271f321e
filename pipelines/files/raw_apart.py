"""Raw lines of an HDF5 file, MRD's or a public data set's, that another process reads.

So a damaged file can neither stop nor end this one.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gadgets.mrd import ismrmrd
from pipelines.files.apart import apart
from pipelines.files.datasets.dataset_file import DatasetFile, holds_kspace
from pipelines.files.mrd_file import LINES_PER_BLOCK, RawFile


class RawApart:
    """A `RawFile` or `DatasetFile` that another process reads, with `header_xml`, `len()`, its lines, `reference()`.

    Each iteration has a process of its own. What is wrong with the file is a `FileProblem`, behind the lines before it.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = path
        self._started = self._start()
        self.header_xml, self._n_lines, self._reference = next(self._started)

    def __enter__(self) -> RawApart:
        return self

    def __exit__(self, *_: object) -> None:
        if self._started is not None:
            self._started.close()

    def __len__(self) -> int:
        return self._n_lines

    def __iter__(self) -> Iterator[ismrmrd.Acquisition]:
        contents, self._started = self._started, None
        if contents is None:
            contents = self._start()
            next(contents)
        for block in contents:
            yield from block

    def reference(self) -> list[ismrmrd.Image]:
        """Return the images a simulated scan was made from; empty for scans of a real patient."""
        return self._reference

    def _start(self) -> Iterator[Any]:
        return apart(_contents, self.path)


def _contents(path: Path | str) -> Iterator[Any]:
    """Give header, number of lines and reference; then the lines, in blocks, up to the first one that is damaged."""
    with DatasetFile(path) if holds_kspace(path) else RawFile(path) as raw:
        yield raw.header_xml, len(raw), raw.reference()
        block: list[ismrmrd.Acquisition] = []
        try:
            for line in raw:
                block.append(line)
                if len(block) == LINES_PER_BLOCK:
                    yield block
                    block = []
        except Exception:
            yield block
            raise
        yield block
