"""What an HDF5 file holds is its own, and as much as it announces."""

from __future__ import annotations

from math import ceil, prod
from pathlib import Path

import h5py

from pipelines.files.finished_file import FileProblem


def require_own_content(path: Path | str, file: h5py.File) -> None:
    """Raise `FileProblem` if anything in the file lies in another file, or is not stored though it is announced.

    External links, external storage and virtual data sets would have whoever opens a file read another one, that its
    sender cannot see. An announced length costs memory, whether the file is as long or not.
    """
    groups: list[h5py.Group] = [file]
    seen = set()  # links may lead round in a circle
    while groups:
        group = groups.pop()
        for name in group:
            if isinstance(group.get(name, getlink=True), h5py.ExternalLink):
                raise FileProblem(f"{path}: {_place(group, name)} is a link to another file; none is followed")
            found = group.get(name)
            address = None if found is None else h5py.h5o.get_info(found.id).addr
            if found is None or address in seen:
                continue
            seen.add(address)
            if isinstance(found, h5py.Group):
                groups.append(found)
            elif isinstance(found, h5py.Dataset):
                _require_stored(path, found)


def _require_stored(path: Path | str, array: h5py.Dataset) -> None:
    if array.is_virtual or array.external:
        kind = "a virtual data set" if array.is_virtual else "stored outside"
        raise FileProblem(f"{path}: {array.name} is {kind}; other files are not read")
    if not array.size:
        return
    if array.chunks:
        announced = prod(ceil(n / chunk) for n, chunk in zip(array.shape, array.chunks, strict=True))
        stored, unit = array.id.get_num_chunks(), "chunks"
    else:
        announced, unit = array.size * array.id.get_type().get_size(), "bytes"
        stored = min(array.id.get_storage_size(), Path(path).stat().st_size)
    if stored < announced:
        raise FileProblem(
            f"{path}: {array.name} announces {announced:,} {unit}, but {stored:,} are stored; the file is damaged"
        )


def _place(group: h5py.Group, name: str) -> str:
    return f"{group.name.rstrip('/')}/{name}"
