"""MRD streams on disk: the wire's messages, one after the other, but for what a killed writer tore off at the end."""

from __future__ import annotations

import logging
import os
import struct
from collections.abc import Iterator
from pathlib import Path

import ismrmrd
import numpy as np

from pipelines.files.finished_file import FileProblem
from pipelines.files.mrd_file import RawFile
from pipelines.protocol.messages import decode_line, text_of
from pipelines.protocol.wire import (
    COMPRESSED,
    CONFIG_NAME_BYTES,
    COUNT_OFFSETS,
    LINE_HEADER_BYTES,
    VERSION_AND_FLAGS,
    WAVEFORM_HEADER_BYTES,
    Id,
    Limits,
    Message,
)

log = logging.getLogger(__name__)

FIRST_MESSAGES = (Id.CONFIG_FILE, Id.CONFIG_TEXT, Id.HEADER)
READ = (*FIRST_MESSAGES, Id.TEXT, Id.ACQUISITION, Id.WAVEFORM, Id.CLOSE)
ID_BYTES = 2


class StreamFile:
    """An MRD stream of raw lines, read like a `RawFile`: `header_xml`, `len()`, iteration over its acquisitions.

    A stream may end anywhere. Its whole messages are read; what follows them is ignored, with one warning.
    `is_closed` tells whether the stream ends as the scanner ends a scan, `is_damaged` whether something other than a
    torn message follows.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = path
        try:
            self._file = open(path, "rb", buffering=0)  # noqa: SIM115 - closed by __exit__
        except OSError as error:
            raise FileProblem(f"{path}: cannot be opened ({error.strerror})") from error
        self.is_closed = self.is_damaged = False
        self._found: dict[int, list[tuple[int, int]]] = {Id.ACQUISITION: [], Id.WAVEFORM: [], Id.HEADER: []}
        try:
            self._find_messages()
            if not self._found[Id.HEADER]:
                raise FileProblem(f"{path}: the stream has no whole MRD header; nothing can be made of it")
        except FileProblem:
            self._file.close()
            raise
        self.header_xml = text_of(self._read(*self._found[Id.HEADER][0], Id.HEADER, 4))

    def __enter__(self) -> StreamFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __len__(self) -> int:
        return len(self._found[Id.ACQUISITION])

    def __iter__(self) -> Iterator[ismrmrd.Acquisition]:
        for at, length in self._found[Id.ACQUISITION]:
            yield decode_line(self._read(at, length, Id.ACQUISITION, LINE_HEADER_BYTES))

    def waveforms(self) -> Iterator[ismrmrd.Waveform]:
        """Iterate over the waveforms in file order."""
        for at, length in self._found[Id.WAVEFORM]:
            head, samples = self._read(at, length, Id.WAVEFORM, WAVEFORM_HEADER_BYTES).parts
            yield ismrmrd.Waveform(head, np.frombuffer(samples, np.uint32))

    def reference(self) -> list[ismrmrd.Image]:
        """Return no images: only files of simulated scans have them."""
        return []

    def _find_messages(self) -> None:
        """Note where every whole message lies, without reading the samples."""
        size, at = os.fstat(self._file.fileno()).st_size, 0
        while at < size and not self.is_closed:
            start = os.pread(self._file.fileno(), ID_BYTES + LINE_HEADER_BYTES, at)
            number = int.from_bytes(start[:ID_BYTES], "little")
            length = self._body_bytes(number, start[ID_BYTES:])
            if length is None or at + ID_BYTES + length > size:
                self.is_damaged = (number not in READ and size - at >= ID_BYTES) or (length or 0) > Limits.line
                log.warning(
                    "%s: the last %s bytes are not a whole message and are ignored; %d lines stand before them",
                    self.path, f"{size - at:,}", len(self),
                )  # fmt: skip
                return
            if number in self._found:
                self._found[number].append((at + ID_BYTES, length))
            at += ID_BYTES + length
            self.is_closed = number == Id.CLOSE

    def _body_bytes(self, number: int, start: bytes) -> int | None:
        """Return the length of a message from its first bytes; None if these are too few, or no message."""
        try:
            if number == Id.ACQUISITION:
                if VERSION_AND_FLAGS.unpack_from(start)[1] & COMPRESSED:
                    raise FileProblem(f"{self.path}: line {len(self)} is compressed, which is not supported")
                samples, channels, dimensions = (struct.unpack_from("<H", start, at)[0] for at in COUNT_OFFSETS)
                return LINE_HEADER_BYTES + samples * (4 * dimensions + 8 * channels)
            if number == Id.WAVEFORM:
                header = ismrmrd.WaveformHeader.from_buffer_copy(start)
                return WAVEFORM_HEADER_BYTES + 4 * header.channels * header.number_of_samples
            if number in (Id.HEADER, Id.CONFIG_TEXT, Id.TEXT):
                return 4 + struct.unpack_from("<I", start)[0]
        except (struct.error, ValueError):
            return None
        return {Id.CONFIG_FILE: CONFIG_NAME_BYTES, Id.CLOSE: 0}.get(number)

    def _read(self, at: int, length: int, number: Id, head_bytes: int) -> Message:
        parts = tuple(memoryview(np.empty(n_bytes, np.uint8)) for n_bytes in (head_bytes, length - head_bytes))
        if os.preadv(self._file.fileno(), parts, at) != length:
            raise FileProblem(f"{self.path}: {length:,} bytes at byte {at:,} cannot be read any more")
        return Message(number, parts)


Raw = RawFile | StreamFile


class UpToDamage:
    """Lines of a raw file that end before the first one that cannot be read; `damage` then says what is wrong."""

    def __init__(self, raw: Raw) -> None:
        self.path, self.header_xml = raw.path, raw.header_xml
        self.damage: str | None = None
        self._raw = raw

    def __len__(self) -> int:
        return len(self._raw)

    def __iter__(self) -> Iterator[ismrmrd.Acquisition]:
        try:
            yield from self._raw
        except FileProblem as problem:
            self.damage = str(problem)


def open_raw(path: Path | str) -> Raw:
    """Open raw lines, whether an HDF5 file or a stream: the first two bytes tell."""
    try:
        with open(path, "rb") as file:
            first = file.read(ID_BYTES)
    except OSError:
        first = b""  # `RawFile` says what is wrong
    is_stream = len(first) == ID_BYTES and int.from_bytes(first, "little") in FIRST_MESSAGES
    return StreamFile(path) if is_stream else RawFile(path)
