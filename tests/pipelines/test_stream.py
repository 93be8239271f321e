"""A scan through pipes: the same images as in replay, and nobody takes half a scan for a whole one."""

import io
import subprocess
import sys
from importlib.metadata import PackageNotFoundError

import ismrmrd
import numpy as np
import pytest

from gadgets.errors import PipelineError, ScanError
from pipelines.chain.pipeline import load_xml
from pipelines.chain.xml import read_chain
from pipelines.files.mrd_file import read_images
from pipelines.hosts.pipe import stream
from pipelines.protocol.framing import CLOSE, Id, Message
from pipelines.protocol.messages import encode_line, text_message
from tests.command import kband


def sent(scan, *, lines=None, before=(), end=(CLOSE,)) -> bytes:
    """The stream of a scan."""
    header, acquisitions, _ = scan
    lines = acquisitions if lines is None else lines
    messages = [*before, text_message(Id.HEADER, header), *map(encode_line, lines), *end]
    return b"".join(bytes(piece) for message in messages for piece in message.pieces())


def received(stream_out: bytes) -> list[ismrmrd.Image]:
    """The images of a stream, by the reader of the ismrmrd library."""
    return list(ismrmrd.ProtocolDeserializer(io.BytesIO(stream_out)).deserialize())


def through(incoming: bytes, pipeline="sense") -> bytes:
    outgoing = io.BytesIO()
    stream(read_chain(load_xml(pipeline)), io.BytesIO(incoming), outgoing)
    return outgoing.getvalue()


def test_the_same_images_as_in_replay(scan, raw, tmp_path):
    """Through real pipes, read by a library that is not ours; nothing else is in the stream."""
    command = [sys.executable, "-c", "from pipelines.cli import main; main()", "stream", "-p", "sense"]
    done = subprocess.run(command, input=sent(scan), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.decode().endswith("lines, 2 images\n")
    assert kband("replay", raw, "-p", "sense", "-o", tmp_path / "images.h5").exit_code == 0
    for streamed, replayed in zip(received(done.stdout), read_images(tmp_path / "images.h5"), strict=True):
        np.testing.assert_array_equal(streamed.data, replayed.data)
        assert streamed.attribute_string == replayed.attribute_string


def test_texts_and_configurations_change_nothing(scan):
    """Whoever writes the stream may say what it is; the command says which chain."""
    before = (text_message(Id.CONFIG_TEXT, "<configuration/>"), text_message(Id.TEXT, "hello"))
    assert through(sent(scan, before=before)) == through(sent(scan))


@pytest.mark.parametrize("n_missing", [1, 340 + 2])
def test_a_cut_stream_is_no_whole_scan(scan, n_missing):
    """What came is reconstructed, the sentence says where it ended, and the images' own stream has no CLOSE."""
    incoming, outgoing = sent(scan, end=()), io.BytesIO()
    with pytest.raises(ScanError, match=r"the stream is cut off: it ends in .* images? made of \d+ lines"):
        stream(read_chain(load_xml("sense")), io.BytesIO(incoming[:-n_missing]), outgoing)
    with pytest.raises(EOFError):
        received(outgoing.getvalue())
    assert outgoing.getvalue()[-2:] != CLOSE.pieces()[0]


def test_missing_lines_are_told(scan):
    """As by every other road: exit code and sentence, though the stream itself is whole."""
    lines = scan[1]
    imaging = [line for line in lines if not line.is_flag_set(ismrmrd.ACQ_IS_NOISE_MEASUREMENT)]
    with pytest.raises(ScanError, match="1 of 2 images incomplete"):
        through(sent(scan, lines=[line for line in lines if line is not imaging[0]]))


@pytest.mark.parametrize(
    ("incoming", "reason"),
    [
        (b"", "no MRD 1 stream: it ends in a message number, 0 of 2 bytes are there"),
        (b"".join(map(bytes, CLOSE.pieces())), "message 4 came where the header (3) was expected"),
    ],
)
def test_what_is_no_stream_is_refused(incoming, reason):
    """One sentence, before anything is computed."""
    with pytest.raises(PipelineError) as problem:
        through(incoming)
    assert reason in str(problem.value)


@pytest.mark.parametrize("version", ["2.1.1", None])
def test_mrd2_says_what_it_needs(monkeypatch, version):
    """pip gives another version, of another schema, to Python 3.11 without a word."""

    def found(_: str) -> str:
        if version is None:
            raise PackageNotFoundError
        return version

    monkeypatch.setattr("importlib.metadata.version", found)
    with pytest.raises(PipelineError, match=f"an MRD 2 stream needs mrd-python 2.2.1, found {version or 'none'}"):
        through(b"yardl\1\0\0\0")


def test_images_among_lines_are_no_scan(scan):
    """A stream of something else is not dropped without a word."""
    with pytest.raises(ScanError, match="message 6 came among the lines"):
        through(sent(scan, end=(Message(Id.QUERY, (bytes(16), bytes(8))),)))


def test_a_chain_that_ends_without_images_is_refused(scan):
    """Its items have no place in the stream."""
    with pytest.raises(PipelineError, match="but a stream takes only images"):
        through(sent(scan), "prepare")
