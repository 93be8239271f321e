"""MRD 1 through a pipe: messages one after the other, CLOSE behind the last."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from gadgets.errors import PipelineError
from gadgets.mrd import ismrmrd
from pipelines.protocol.framing import CLOSE, Buffer, Gone, Id, Message, Source, WireError
from pipelines.protocol.layouts import read_message
from pipelines.protocol.messages import decode_line, encode_image, text_of

BEFORE_THE_HEADER = (Id.CONFIG_FILE, Id.CONFIG_TEXT, Id.TEXT)  # which chain it is, the command says
BETWEEN_LINES = (Id.TEXT, Id.WAVEFORM)


class Mrd1Pipe:
    """A scan that comes, and its images that go, as MRD 1. Raises `PipelineError` if no header comes first."""

    def __init__(self, incoming: BinaryIO, outgoing: BinaryIO) -> None:
        self._incoming, self._outgoing = incoming, outgoing
        self._source = Source(self._take)
        self.header_xml = self._header()

    def lines(self) -> Iterator[ismrmrd.Acquisition]:
        """Yield the lines up to CLOSE. Raises `WireError` where the stream ends without it, or makes no sense."""
        while (message := read_message(self._source)).id != Id.CLOSE:
            if message.id == Id.ACQUISITION:
                yield decode_line(message)
            elif message.id not in BETWEEN_LINES:
                raise WireError(f"message {message.id} came among the lines")

    def send(self, image: ismrmrd.Image) -> None:
        """Write an image, at once."""
        self._write(encode_image(image, nul=False))

    def end(self) -> None:
        """Say that it was the last one."""
        self._write(CLOSE)

    def _header(self) -> str:
        try:
            while (message := read_message(self._source)).id in BEFORE_THE_HEADER:
                pass
        except WireError as error:
            raise PipelineError(f"no MRD 1 stream: {error}") from error
        if message.id != Id.HEADER:
            raise PipelineError(f"no MRD 1 stream: message {message.id} came where the header (3) was expected")
        return text_of(message)

    def _take(self, n_bytes: int, what: str) -> Buffer:
        """Read `n_bytes`, into memory that gadgets may write to. Raises `Gone` if the stream ends before."""
        piece, n_read = bytearray(n_bytes), 0
        while n_read < n_bytes:
            got = self._incoming.readinto(memoryview(piece)[n_read:])
            if not got:
                raise Gone(f"it ends in {what}, {n_read:,} of {n_bytes:,} bytes are there")
            n_read += got
        return piece

    def _write(self, message: Message) -> None:
        for piece in message.pieces():
            self._outgoing.write(piece)
        self._outgoing.flush()
