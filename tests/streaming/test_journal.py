"""What was journalled is there after a kill, a full disk or a torn write, and reads as MRD."""

import errno
import json
import logging
import os
import random
import signal
import stat
import subprocess
import sys
import time

import ismrmrd
import numpy as np
import pytest

from pipelines.files.mrd_file import read_images
from pipelines.files.mrd_stream import StreamFile, open_raw
from pipelines.hosts.journal import Journal
from pipelines.protocol.framing import Id, Message
from pipelines.protocol.messages import encode_line
from tests.command import kband
from tests.pipelines.mrd_samples import XML, line, problem_of

CLOSE = Message(Id.CLOSE)


def waveform(number: int) -> ismrmrd.Waveform:
    samples = number + np.arange(10, dtype=np.uint32).reshape(2, 5)
    return ismrmrd.Waveform.from_array(samples, scan_counter=number, waveform_id=1)


def waveform_message(number: int) -> Message:
    whole = waveform(number).to_bytes()
    return Message(Id.WAVEFORM, (whole[:40], whole[40:]))


@pytest.mark.parametrize("seed", range(10))
def test_kill_loses_no_line(raw, scan, tmp_path, seed):
    """The kernel has what a returned write gave it; that the writer dies does not matter (SIGKILL, any moment)."""
    victim = subprocess.Popen(
        [sys.executable, "-m", "tests.streaming.journal_victim", str(raw), str(tmp_path / "journal")],
        stdout=subprocess.PIPE,
    )  # fmt: skip
    first = victim.stdout.read(8)
    time.sleep(random.Random(seed).uniform(0, 0.01))
    victim.send_signal(signal.SIGKILL)
    said = first + victim.stdout.read()
    victim.wait()
    victim.stdout.close()
    n_taken = len(said) // 8
    (path,) = (tmp_path / "journal").glob("*.mrd")
    with StreamFile(path) as stream:
        kept = list(stream)
        assert not stream.is_closed
    assert 0 < n_taken <= len(kept) <= n_taken + 1  # one may be written, but not said
    assert all(each == scan[1][n % len(scan[1])] for n, each in enumerate(kept))
    verdict = json.loads(path.with_suffix(".json").read_text())
    assert verdict["pipeline"] == "sense"
    assert verdict["end"] is None


def test_a_journal_is_for_its_own_user(scan, tmp_path):
    """Raw data of a patient are nobody else's on a machine that several share."""
    journal = Journal.begin(tmp_path / "scans", "a", scan[0])
    assert stat.S_IMODE(journal.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(journal.path.parent.stat().st_mode) == 0o700


def test_journal_is_replayed(raw, scan, tmp_path):
    """A journal without its end is a raw file like any other: same pixels."""
    journal = Journal.begin(tmp_path, "a", scan[0])
    for each in scan[1]:
        journal.append(encode_line(each))
    with journal.path.open("ab") as file:
        file.write(encode_line(scan[1][0]).parts[0][:100])
    for source, name in ((journal.path, "journal.h5"), (raw, "images.h5")):
        result = kband("replay", source, "-o", tmp_path / name)
        assert result.exit_code == 0, result.output
    ours, theirs = read_images(tmp_path / "journal.h5"), read_images(tmp_path / "images.h5")
    assert len(ours) == len(theirs) == 2
    assert all(np.array_equal(a.data, b.data) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("last", [encode_line(line(2, 2)), waveform_message(7), CLOSE], ids=["line", "wave", "close"])
def test_torn_end_is_left_out(tmp_path, caplog, last):
    """At every byte of the last message: what stands before it is whole."""
    journal = Journal.begin(tmp_path, "a", XML)
    for number in range(2):
        journal.append(encode_line(line(number, 2)))
    n_before = journal.path.stat().st_size
    journal.append(last)
    whole = journal.path.read_bytes()
    assert len(whole) == n_before + last.size
    torn = tmp_path / "torn.mrd"
    for end in range(n_before, len(whole) + 1):
        torn.write_bytes(whole[:end])
        caplog.clear()
        with StreamFile(torn) as stream:
            is_whole = end == len(whole)
            assert len(stream) == 2 + (is_whole and last.id == Id.ACQUISITION)
            assert list(stream)[:2] == [line(0, 2), line(1, 2)]
            assert len(list(stream.waveforms())) == (is_whole and last.id == Id.WAVEFORM)
            assert stream.is_closed == (is_whole and last.id == Id.CLOSE)
        n_torn = end - n_before
        told = "the last 1 byte is not a whole" if n_torn == 1 else f"the last {n_torn} bytes are not a whole message"
        expected = [] if end in (n_before, len(whole)) else [told]
        assert [sentence for sentence in expected if sentence not in caplog.text] == []
        assert len(caplog.records) == len(expected)


def test_stream_is_the_librarys_own(tmp_path):
    """Plain ismrmrd reads a journal from header to CLOSE."""
    journal = Journal.begin(tmp_path, "a", SMALL_HEADER + "\0")
    for message in (encode_line(line(0, 2)), waveform_message(1), Message(Id.TEXT, (b"\0" * 4, b"")), CLOSE):
        journal.append(message)
    journal.append(encode_line(line(1)))  # behind the end
    with ismrmrd.ProtocolDeserializer(str(journal.path)) as file:
        header, first, wave = file.deserialize()
    assert header.encoding[0].encodedSpace.matrixSize.x == 64
    assert first == line(0, 2)
    assert wave == waveform(1)


def test_a_file_is_known_by_its_first_bytes(raw, tmp_path):
    """Whatever it is called; what is no MRD file is told as before."""
    Journal.begin(tmp_path, "a", XML).path.rename(tmp_path / "journal.h5")
    with open_raw(tmp_path / "journal.h5") as stream, open_raw(raw) as file:
        assert stream.header_xml == "<ismrmrdHeader />"
        assert stream.reference() == []
        assert len(file) > len(stream) == 0
    for content in (b"", b"\x03", b"not MRD"):
        (tmp_path / "other").write_bytes(content)
        assert problem_of(open_raw, tmp_path / "other") == f"{tmp_path}/other: not an HDF5 file, so not an MRD file"
    (tmp_path / "other").write_bytes(b"\3\0\xff\0\0\0<ismr")
    assert "no whole MRD header" in problem_of(open_raw, tmp_path / "other")
    assert problem_of(open_raw, tmp_path / "none") == f"{tmp_path}/none: no such file"


@pytest.mark.parametrize("n_torn", [0, 100])
def test_full_disk_does_not_stop_the_scan(tmp_path, monkeypatch, caplog, n_torn):
    """ENOSPC, at once or in the middle of a line: one warning, the lines before it stay, the verdict says it."""
    journal = Journal.begin(tmp_path, "a", XML)
    journal.append(encode_line(line(0)))

    def full(descriptor: int, parts: list[bytes]) -> int:
        if n_torn and len(parts) > 1:
            return os.write(descriptor, b"".join(parts)[:n_torn])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    write = os.write
    monkeypatch.setattr(os, "writev", full)
    monkeypatch.setattr(os, "write", lambda d, data: write(d, data) if len(data) == n_torn else full(d, [data]))
    with caplog.at_level(logging.WARNING):
        for number in range(1, 4):
            journal.append(encode_line(line(number)))
    monkeypatch.undo()
    journal.end({"problem": None, "lines": 4})
    assert journal.problem == "the journal stopped after 1 line (No space left on device)"
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    caplog.clear()
    with StreamFile(journal.path) as stream:
        assert list(stream) == [line(0)]
    assert not caplog.records
    verdict = json.loads(journal.path.with_suffix(".json").read_text())
    assert verdict["journal"] == {"lines": 1, "waveforms": 0, "bytes": journal.path.stat().st_size, "closed": False,
                                  "problem": journal.problem}  # fmt: skip


def test_folder_that_cannot_be_written(tmp_path, caplog):
    """No journal is better than no image."""
    (tmp_path / "file").write_bytes(b"")
    journal = Journal.begin(tmp_path / "file", "a", XML)
    journal.append(encode_line(line(0)))
    journal.end({})
    assert journal.problem == "the journal stopped after 0 lines (File exists)"
    assert "the verdict on the scan cannot be written" in caplog.text


def test_names_of_scans_are_file_names(tmp_path):
    """A scan's name comes from outside."""
    journal = Journal.begin(tmp_path, "../über/scan.1", XML)
    assert journal.path.parent == tmp_path
    assert journal.path.name.endswith("Z_----ber-scan-1.mrd")


SMALL_HEADER = """<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD">
<experimentalConditions><H1resonanceFrequency_Hz>1</H1resonanceFrequency_Hz></experimentalConditions>
<encoding><encodedSpace><matrixSize><x>64</x><y>1</y><z>1</z></matrixSize>
<fieldOfView_mm><x>1</x><y>1</y><z>1</z></fieldOfView_mm></encodedSpace>
<reconSpace><matrixSize><x>64</x><y>1</y><z>1</z></matrixSize>
<fieldOfView_mm><x>1</x><y>1</y><z>1</z></fieldOfView_mm></reconSpace>
<encodingLimits/><trajectory>cartesian</trajectory></encoding></ismrmrdHeader>"""
