"""The name of the protocol that an image file's header tells."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import defusedxml.ElementTree
import h5py
import numpy as np
from defusedxml.common import DefusedXmlException

from gadgets.mrd_header import header_text
from pipelines.files.apart import apart


def protocol_name(path: Path | str) -> str:
    """Return the first protocol name that a header of the file holds, or '' if none does."""
    return next(apart(_names_in, path), "")


def _names_in(path: Path | str) -> Iterator[str]:
    with h5py.File(path, "r") as file:
        for group in file.values():
            found = group.get("xml") if isinstance(group, h5py.Group) else None
            if isinstance(found, h5py.Dataset) and found.size:
                yield from _names(np.ravel(found[()])[0])


def _names(xml: bytes | str) -> Iterator[str]:
    try:
        header = defusedxml.ElementTree.fromstring(header_text(xml).encode(), forbid_dtd=True)
    except (defusedxml.ElementTree.ParseError, DefusedXmlException, ValueError):
        return
    name = header.findtext("{*}measurementInformation/{*}protocolName")
    if name and name.strip():
        yield name.strip()
