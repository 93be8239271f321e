"""One scan through pipes: an MRD stream in, its images out, as between Gadgetron's --from_stream and its neighbours."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import BinaryIO

from gadgets.errors import PipelineError, ScanError
from gadgets.mrd import ismrmrd
from gadgets.scan import Scan
from kband_core.plural import counted
from pipelines.chain.chain import Chain
from pipelines.chain.pipeline import Pipeline, ending_problem
from pipelines.chain.pump import READ_AHEAD, pump
from pipelines.chain.run import run
from pipelines.chain.verdict import Verdict
from pipelines.protocol.framing import CLOSE, Buffer, Gone, Id, Message, Source, WireError
from pipelines.protocol.layouts import read_message
from pipelines.protocol.messages import decode_line, encode_image, text_of

log = logging.getLogger(__name__)

BEFORE_THE_HEADER = (Id.CONFIG_FILE, Id.CONFIG_TEXT, Id.TEXT)  # which chain it is, the command says
BETWEEN_LINES = (Id.TEXT, Id.WAVEFORM)


def stream(chain: Chain, incoming: BinaryIO, outgoing: BinaryIO) -> str:
    """Reconstruct the scan of one stream; return in a few words what was done.

    Images are written as soon as they are made, CLOSE behind the last. Whatever is wrong is raised, `PipelineError`
    before the scan and `ScanError` after it; behind a scan that failed or was cut off no CLOSE is written, so that
    whoever reads on cannot take it for whole.
    """
    pipeline = Pipeline.from_chain(chain)
    if problem := ending_problem(type(pipeline.gadgets[-1])):
        raise PipelineError(f"{problem}, but a stream takes only images")
    source, verdict = Source(_Pipe(incoming).take), Verdict()
    scan = Scan.from_xml(_header(source))
    cut = _Cut()
    try:
        for image in run(pipeline, scan, pump(_lines(source, cut), READ_AHEAD), verdict):
            _write(outgoing, encode_image(image, nul=False))
    except (PipelineError, ScanError, BrokenPipeError):
        raise
    except Exception as error:
        log.exception("a gadget failed")
        raise ScanError(f"internal error, {type(error).__name__}: {error}") from error
    if cut.reason:
        raise ScanError(f"the stream is cut off: {cut.reason}; {counted(verdict.n_images, 'image')} made of "
                        f"{counted(verdict.n_lines, 'line')}")  # fmt: skip
    _write(outgoing, CLOSE)
    if verdict.flaw:
        raise ScanError(verdict.flaw)
    return f"{counted(verdict.n_lines, 'line')}, {counted(verdict.n_images, 'image')}"


class _Cut:
    """Why a stream ended before its CLOSE, if it did."""

    reason: str | None = None


class _Pipe:
    """Exactly as many bytes as are wanted, from something that gives as many as it has."""

    def __init__(self, incoming: BinaryIO) -> None:
        self._incoming = incoming

    def take(self, n_bytes: int, what: str) -> Buffer:
        """Read `n_bytes`, into memory that gadgets may write to. Raises `Gone` if the stream ends before."""
        piece, n_read = bytearray(n_bytes), 0
        while n_read < n_bytes:
            got = self._incoming.readinto(memoryview(piece)[n_read:])
            if not got:
                raise Gone(f"it ends in {what}, {n_read:,} of {n_bytes:,} bytes are there")
            n_read += got
        return piece


def _header(source: Source) -> str:
    """Read up to the MRD header. Raises `PipelineError` if anything else comes first."""
    try:
        while (message := read_message(source)).id in BEFORE_THE_HEADER:
            pass
    except WireError as error:
        raise PipelineError(f"no MRD 1 stream: {error}") from error
    if message.id != Id.HEADER:
        raise PipelineError(f"no MRD 1 stream: message {message.id} came where the header (3) was expected")
    return text_of(message)


def _lines(source: Source, cut: _Cut) -> Iterator[ismrmrd.Acquisition]:
    """Yield the lines up to CLOSE; a stream that ends without it is `cut`, and what came is reconstructed."""
    try:
        while (message := read_message(source)).id != Id.CLOSE:
            if message.id == Id.ACQUISITION:
                yield decode_line(message)
            elif message.id not in BETWEEN_LINES:
                raise WireError(f"message {message.id} came among the lines")
    except WireError as error:
        cut.reason = str(error)


def _write(outgoing: BinaryIO, message: Message) -> None:
    for piece in message.pieces():
        outgoing.write(piece)
    outgoing.flush()
