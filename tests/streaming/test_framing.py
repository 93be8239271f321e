"""Sockets and files share one framing: the same pieces of the same lengths, whoever gives the bytes."""

import io

import pytest

from pipelines.files.mrd_stream import StreamFile
from pipelines.protocol.framing import Source
from pipelines.protocol.layouts import LONGEST_HEADER, read_message
from tests.pipelines.mrd_samples import problem_of
from tests.streaming import bytes_by_hand as by_hand

EACH = by_hand.one_of_each()
HEADER = by_hand.text(3, b"<ismrmrdHeader/>")


@pytest.mark.parametrize("kind", EACH)
def test_any_source_gives_the_same_message(kind):
    """A source is a function; that the wire's is a socket does not matter."""
    source = io.BytesIO(EACH[kind] + by_hand.CLOSE)
    message = read_message(Source(lambda n_bytes, _: source.read(n_bytes)))
    assert message == by_hand.read_one(EACH[kind])
    assert source.read() == by_hand.CLOSE


@pytest.mark.parametrize("kind", EACH)
def test_samples_can_be_passed_over(kind):
    """The lengths of pieces do not depend on what is longer than a header: a file of gigabytes is not read to count."""
    source = io.BytesIO(EACH[kind] + by_hand.CLOSE)

    def pass_over(n_bytes: int, _: str) -> bytes:
        piece = source.read(n_bytes)
        return piece if n_bytes <= LONGEST_HEADER else b""

    read_message(Source(pass_over))
    assert source.read() == by_hand.CLOSE


def test_a_file_is_bounded_as_a_socket_is(tmp_path, caplog):
    """A header of 4 GB is damage, not a file that is torn: it never was a whole message."""
    path = tmp_path / "scan.mrd"
    path.write_bytes(HEADER + b"\3\0\xff\xff\xff\xff" + bytes(64))
    with StreamFile(path) as stream:
        assert stream.is_damaged
    assert "the last 70 bytes are not a whole message" in caplog.text


def test_compressed_lines_are_refused_in_files_too(tmp_path):
    """To pass over them would give a scan that lacks lines."""
    path = tmp_path / "scan.mrd"
    lines = [by_hand.acquisition(by_hand.random_complex(2, 3), flags=flags) for flags in (0, 1 << 52)]
    path.write_bytes(HEADER + b"".join(lines))
    sentence = f"{path}: line 1: an acquisition is compressed (flag 53 or 54), which is not supported"
    assert problem_of(StreamFile, path) == sentence


def test_a_stream_that_shrinks_meanwhile_is_said(tmp_path):
    """Whoever tears a line away while it is read gets one sentence."""
    path = tmp_path / "scan.mrd"
    line = by_hand.acquisition(by_hand.random_complex(2, 300))
    path.write_bytes(HEADER + line)
    with StreamFile(path) as stream:
        path.write_bytes(HEADER + line[:-1])
        assert problem_of(list, stream) == (
            f"{path}: the message at byte {len(HEADER)} cannot be read any more (an acquisition ends too early)"
        )
