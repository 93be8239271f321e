"""One scan through pipes: an MRD stream in, its images out, as between Gadgetron's --from_stream and its neighbours."""

from __future__ import annotations

import importlib.metadata
import io
import logging
from collections.abc import Iterator
from typing import BinaryIO, Protocol

from gadgets.errors import PipelineError, ScanError
from gadgets.mrd import ismrmrd
from gadgets.scan import Scan
from kband_core.plural import counted
from pipelines.chain.chain import Chain
from pipelines.chain.pipeline import Pipeline, ending_problem
from pipelines.chain.pump import READ_AHEAD, pump
from pipelines.chain.run import run
from pipelines.chain.verdict import Verdict
from pipelines.hosts.mrd1_pipe import Mrd1Pipe
from pipelines.protocol.framing import WireError

log = logging.getLogger(__name__)

MRD_2 = b"y"  # of "yardl", with which its streams begin; no message number of MRD 1 has this byte
SPOKEN = "2.2.1"  # of mrd-python, each version of which reads its own schema alone


class Pipe(Protocol):
    """A scan that comes, and its images that go, in one version of MRD."""

    header_xml: str

    def lines(self) -> Iterator[ismrmrd.Acquisition]:
        """Yield the lines. Raises `WireError` where the stream ends before its end, or makes no sense."""

    def send(self, image: ismrmrd.Image) -> None:
        """Write an image, at once."""

    def end(self) -> None:
        """Say that it was the last one."""


def stream(chain: Chain, incoming: BinaryIO, outgoing: BinaryIO) -> str:
    """Reconstruct the scan of one stream; return in a few words what was done.

    Its first byte tells MRD 1 from MRD 2, and images go out in that version, as soon as they are made; behind the last
    comes the end of the stream. Whatever is wrong is raised, `PipelineError` before the scan and `ScanError` after it;
    behind a scan that failed or was cut off no end is written, so that whoever reads on cannot take it for whole.
    """
    pipeline = Pipeline.from_chain(chain)
    if problem := ending_problem(type(pipeline.gadgets[-1])):
        raise PipelineError(f"{problem}, but a stream takes only images")
    pipe, verdict = _pipe(io.BufferedReader(incoming), outgoing), Verdict()
    scan = Scan.from_xml(pipe.header_xml)
    cut = _Cut()
    try:
        for image in run(pipeline, scan, pump(_lines(pipe, cut), READ_AHEAD), verdict):
            pipe.send(image)
    except (PipelineError, ScanError, BrokenPipeError):
        raise
    except Exception as error:
        log.exception("a gadget failed")
        raise ScanError(f"internal error, {type(error).__name__}: {error}") from error
    if cut.reason:
        raise ScanError(f"the stream is cut off: {cut.reason}; {counted(verdict.n_images, 'image')} made of "
                        f"{counted(verdict.n_lines, 'line')}")  # fmt: skip
    pipe.end()
    if verdict.flaw:
        raise ScanError(verdict.flaw)
    return f"{counted(verdict.n_lines, 'line')}, {counted(verdict.n_images, 'image')}"


class _Cut:
    """Why a stream ended before its end, if it did."""

    reason: str | None = None


def _pipe(incoming: io.BufferedReader, outgoing: BinaryIO) -> Pipe:
    if incoming.peek(1)[:1] != MRD_2:
        return Mrd1Pipe(incoming, outgoing)
    _require_mrd_python()
    from pipelines.hosts.mrd2_pipe import Mrd2Pipe  # mrd-python is an extra

    return Mrd2Pipe(incoming, outgoing)


def _require_mrd_python() -> None:
    """Raise `PipelineError`, saying what to install, unless the package is there in the version that is spoken."""
    try:
        found = importlib.metadata.version("mrd-python")
    except importlib.metadata.PackageNotFoundError:
        found = "none"
    if found != SPOKEN:
        raise PipelineError(f"an MRD 2 stream needs mrd-python {SPOKEN}, found {found}: pip install kband[mrd2], with "
                            "Python 3.12 or newer")  # fmt: skip


def _lines(pipe: Pipe, cut: _Cut) -> Iterator[ismrmrd.Acquisition]:
    """Yield the lines of a stream; if it is `cut`, what came is reconstructed."""
    try:
        yield from pipe.lines()
    except WireError as error:
        cut.reason = str(error)
