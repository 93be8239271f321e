"""MRD streams on disk: the wire's messages, one after the other, but for what a killed writer tore off at the end."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from gadgets.mrd import ismrmrd
from kband_core.plural import counted, plural
from pipelines.files.finished_file import FileProblem
from pipelines.files.raw_apart import RawApart
from pipelines.protocol.framing import ID_BYTES, Id, Message, Source, Unsupported, WireError
from pipelines.protocol.layouts import LONGEST_HEADER, body, read_message
from pipelines.protocol.messages import decode_line, text_of

log = logging.getLogger(__name__)

FIRST_MESSAGES = (Id.CONFIG_FILE, Id.CONFIG_TEXT, Id.HEADER)
READ = (*FIRST_MESSAGES, Id.TEXT, Id.ACQUISITION, Id.WAVEFORM, Id.CLOSE)


class StreamFile:
    """An MRD stream of raw lines, read like a `RawApart`: `header_xml`, `len()`, iteration over its acquisitions.

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
        self._size = os.fstat(self._file.fileno()).st_size
        self.is_closed = self.is_damaged = False
        self._found: dict[int, list[int]] = {Id.ACQUISITION: [], Id.WAVEFORM: [], Id.HEADER: []}
        try:
            self._find_messages()
            if not self._found[Id.HEADER]:
                raise FileProblem(f"{path}: the stream has no whole MRD header; nothing can be made of it")
        except FileProblem:
            self._file.close()
            raise
        self.header_xml = text_of(self._read(self._found[Id.HEADER][0]))

    def __enter__(self) -> StreamFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __len__(self) -> int:
        return len(self._found[Id.ACQUISITION])

    def __iter__(self) -> Iterator[ismrmrd.Acquisition]:
        return map(decode_line, map(self._read, self._found[Id.ACQUISITION]))

    def waveforms(self) -> Iterator[ismrmrd.Waveform]:
        """Iterate over the waveforms in file order."""
        for message in map(self._read, self._found[Id.WAVEFORM]):
            head, samples = message.parts
            yield ismrmrd.Waveform(head, np.frombuffer(samples, np.uint32))

    def reference(self) -> list[ismrmrd.Image]:
        """Return no images: only files of simulated scans have them."""
        return []

    def _find_messages(self) -> None:
        """Note where every whole message begins, without reading the samples."""
        at = 0
        while at < self._size and not self.is_closed:
            try:
                number = self._next_message()
            except Unsupported as error:
                raise FileProblem(f"{self.path}: line {len(self)}: {error}") from error
            except (EOFError, WireError) as error:
                self.is_damaged = isinstance(error, WireError)
                n_bytes, before = self._size - at, counted(len(self), "line stands", "lines stand")
                log.warning("%s: the last %s not a whole message; ignored, %s before",
                            self.path, f"{n_bytes:,} {plural(n_bytes, 'byte is', 'bytes are')}", before)  # fmt: skip
                return
            if number in self._found:
                self._found[number].append(at)
            self.is_closed = number == Id.CLOSE
            at = self._file.tell()

    def _next_message(self) -> int:
        """Go behind a message; return its number."""
        source = Source(self._pass_over)
        _, number = source.number("<H", "a message number")
        if number not in READ:
            raise WireError(f"message {number} is none of a file's")
        for _ in body(number, source):
            pass
        return number

    def _read(self, at: int) -> Message:
        self._file.seek(at)
        try:
            return read_message(Source(self._take))
        except (EOFError, WireError) as error:
            raise FileProblem(f"{self.path}: the message at byte {at:,} cannot be read any more ({error})") from error

    def _take(self, n_bytes: int, what: str) -> bytearray:
        """Read so many bytes, into memory that gadgets may write to. Raises `EOFError` where there are too few."""
        piece = bytearray(n_bytes)
        if self._file.readinto(piece) < n_bytes:
            raise EOFError(f"{what} ends too early")
        return piece

    def _pass_over(self, n_bytes: int, what: str) -> bytearray:
        """Read what may be a header, go behind all else."""
        if n_bytes <= LONGEST_HEADER:
            return self._take(n_bytes, what)
        if self._file.seek(n_bytes, os.SEEK_CUR) > self._size:
            raise EOFError(f"{what} ends too early")
        return bytearray()


Raw = RawApart | StreamFile


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
        first = b""  # `RawApart` says what is wrong
    is_stream = len(first) == ID_BYTES and int.from_bytes(first, "little") in FIRST_MESSAGES
    return StreamFile(path) if is_stream else RawApart(path)
