"""MRD 2 through a pipe, read and written by the package mrd-python; nothing behind this door knows of it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import BinaryIO

import mrd

from gadgets.errors import PipelineError
from gadgets.mrd import ismrmrd
from kband_core.plural import counted, plural
from pipelines.protocol.framing import WireError
from pipelines.protocol.mrd2_header import header_xml
from pipelines.protocol.mrd2_items import decode_line, encode_image

log = logging.getLogger(__name__)

UNHEARD = ("waveform", "acquisitionPrototype", "pulseq")  # what describes the sequence, or the patient, between lines
SINGLE_IMAGE = tuple(f"image{kind}" for kind in ("Uint", "Int", "Float", "Double", "Complex"))


class Mrd2Pipe:
    """A scan that comes, and its images that go, as MRD 2. Raises `PipelineError` if the stream is of another schema.

    Lines are decoded 64 kB at a time, which is how mrd-python reads.
    """

    def __init__(self, incoming: BinaryIO, outgoing: BinaryIO) -> None:
        self._outgoing = outgoing
        self._writer: _Writer | None = None
        try:
            self._reader = mrd.BinaryMrdReader(incoming)
            self._header = self._reader.read_header()
        except Exception as error:  # mrd-python has no errors of its own
            raise PipelineError(f"no MRD 2 stream of the schema that is spoken here: {_reason(error)}") from error
        if self._header is None:
            raise PipelineError("the MRD 2 stream has no header")
        try:
            self.header_xml = header_xml(self._header)
        except ValueError as error:
            raise PipelineError(f"MRD 2 header: {error}") from error

    def lines(self) -> Iterator[ismrmrd.Acquisition]:
        """Yield the lines up to the end of the stream. Raises `WireError` where it is torn, or makes no sense.

        Images are passed over, with one warning: mrd-python's converter sends those that a raw file has, behind lines.
        """
        items, n_images = iter(self._reader.read_data()), 0
        while (item := _next(items)) is not None:
            if isinstance(item, mrd.StreamItem.Acquisition):
                yield decode_line(item.value)
            elif item.tag.startswith(SINGLE_IMAGE):
                n_images += 1
            elif not item.tag.startswith(UNHEARD):
                raise WireError(f"an item {item.tag} came among the lines")
        if n_images:
            log.warning("%s came with the lines and %s ignored", counted(n_images, "image"),
                        plural(n_images, "is", "are"))  # fmt: skip

    def send(self, image: ismrmrd.Image) -> None:
        """Write an image, at once."""
        self._begun().write_data([encode_image(image)])
        self._begun().flush()
        self._outgoing.flush()

    def end(self) -> None:
        """Say that it was the last one."""
        self._begun().write_data([])
        self._begun().close()
        self._outgoing.flush()

    def _begun(self) -> _Writer:
        """The writer, which has written the header: the images' stream has that of the lines."""
        if self._writer is None:
            self._writer = _Writer(self._outgoing)
            self._writer.write_header(self._header)
        return self._writer


class _Writer(mrd.BinaryMrdWriter):
    """A writer that need not keep an image until 64 kB have come together."""

    def flush(self) -> None:
        """Write what was kept."""
        self._stream.flush()


def _next(items: Iterator[mrd.StreamItem]) -> mrd.StreamItem | None:
    """Read the next item, if there is one. Raises `WireError` if it cannot be read."""
    try:
        return next(items, None)
    except Exception as error:  # mrd-python has no errors of its own
        raise WireError(f"an item of it cannot be read ({_reason(error)})") from error


def _reason(error: Exception) -> str:
    if isinstance(error, EOFError | BufferError):  # the latter where a few bytes of what was wanted had come
        return "it ends there"
    return " ".join(str(error).split()) or type(error).__name__
