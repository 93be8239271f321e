"""The headers that an HDF5 file holds, whether of raw lines or of images."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import defusedxml.ElementTree
import h5py
import numpy as np
from defusedxml.common import DefusedXmlException

from gadgets.mrd_header import header_text
from pipelines.files.apart import apart
from pipelines.files.finished_file import FileProblem


def protocol_name(path: Path | str) -> str:
    """Return the first protocol name that a header of the file holds, or '' if none does."""
    names = (name for xml, _ in apart(_headers_in, path) for name in _names(xml))
    return next(names, "")


def image_file_header(path: Path | str) -> str | None:
    """Return the header of a file of images, '' if it has none; None if the file holds raw lines.

    Raises `FileProblem` for what no header can be.
    """
    headers = list(apart(_headers_in, path))
    if any(is_raw for _, is_raw in headers):
        return None
    try:
        return next((header_text(xml) for xml, _ in headers), "")
    except ValueError as error:
        raise FileProblem(f"{path}: {error}") from error


def _headers_in(path: Path | str) -> Iterator[tuple[bytes | str, bool]]:
    """Each header, and whether raw lines stand beside it; an array of k-space, as public data sets have, is lines."""
    with h5py.File(path, "r") as file:
        if "kspace" in file:
            yield b"", True
        for group in file.values():
            found = group.get("xml") if isinstance(group, h5py.Group) else None
            if isinstance(found, h5py.Dataset) and found.size:
                yield np.ravel(found[()])[0], "data" in group


def _names(xml: bytes | str) -> Iterator[str]:
    try:
        header = defusedxml.ElementTree.fromstring(header_text(xml).encode(), forbid_dtd=True)
    except (defusedxml.ElementTree.ParseError, DefusedXmlException, ValueError):
        return
    name = header.findtext("{*}measurementInformation/{*}protocolName")
    if name and name.strip():
        yield name.strip()
