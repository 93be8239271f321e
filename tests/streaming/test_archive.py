"""Ended journals become HDF5 files; dead ones too, living ones not; the folder stays within its bounds."""

import fcntl
import json
import os
import time
from datetime import datetime, timedelta, timezone

import ismrmrd
import pytest

from pipelines.files.mrd_file import RawFile
from pipelines.hosts.archive import Archive, Retention, convert, recover, tidy
from pipelines.hosts.journal import Journal
from pipelines.protocol.messages import encode_line
from tests.pipelines.mrd_samples import XML, line
from tests.streaming.test_journal import CLOSE, waveform, waveform_message

NOON = datetime(2026, 1, 31, 12, tzinfo=timezone.utc)


def names(folder) -> list[str]:
    return sorted(path.suffix for path in folder.iterdir())


def journalled(folder, n_lines: int, scan_id: str = "a", **options) -> Journal:
    """Make a journal of `n_lines` lines and a waveform."""
    return filled(Journal.begin(folder, scan_id, XML, pipeline="sense", anonymise=False, **options), n_lines)


def filled(journal: Journal, n_lines: int) -> Journal:
    for number in range(n_lines):
        journal.append(encode_line(line(number, 2)))
    journal.append(waveform_message(5))
    return journal


def killed(journal: Journal) -> None:
    """Leave a journal as a killed process does: the kernel closes its descriptor."""
    os.close(journal._descriptor)


def test_ended_journal_becomes_a_file(tmp_path):
    """More lines than a block; plain ismrmrd reads them, and the verdict lies beside them."""
    archive = Archive(tmp_path, anonymise=False)
    journal = filled(archive.begin("a", XML, pipeline="sense"), 300)
    journal.append(CLOSE)
    verdict = {"images": 2, "image": [{"slice": 0, "expected": 30, "received": 29, "missing": [7]}]}
    journal.end(verdict)
    archive.close()
    assert names(tmp_path) == [".h5", ".json"]
    with ismrmrd.Dataset(journal.path.with_suffix(".h5"), mode="r") as file:
        assert file.read_xml_header() == XML.encode()
        assert [file.read_acquisition(n) for n in range(file.number_of_acquisitions())] == [
            line(n, 2) for n in range(300)
        ]
        assert file.number_of_waveforms() == 1
        assert file.read_waveform(0) == waveform(5)
    written = json.loads(journal.path.with_suffix(".json").read_text())
    assert written["journal"]["closed"] is True
    assert written["journal"]["lines"] == 300
    assert (written["scan"], written["pipeline"], written["problem"]) == ("a", "sense", None)
    assert written["begin"] <= written["end"]
    assert {**written, **verdict} == written


def test_journal_without_archive_stays(tmp_path):
    """It is readable as it is, and the next server converts it."""
    journal = journalled(tmp_path, 2)
    journal.end({"problem": None})
    assert names(tmp_path) == [".json", ".mrd"]
    assert recover(tmp_path) == [journal.path.with_suffix(".h5")]
    assert json.loads(journal.path.with_suffix(".json").read_text())["problem"] is None


def test_dead_journal_is_recovered_and_a_living_one_left(tmp_path):
    """The lock tells; a torn line and a half-written conversion do not matter."""
    dead, living = journalled(tmp_path, 3), journalled(tmp_path, 1, "b")
    with dead.path.open("ab") as file:
        file.write(encode_line(line(0)).parts[0][:50])
    (tmp_path / f".{dead.path.stem}.h5.4711.unfinished").write_bytes(b"half")
    assert recover(tmp_path) == []
    killed(dead)
    assert recover(tmp_path) == [dead.path.with_suffix(".h5")]
    with RawFile(dead.path.with_suffix(".h5")) as file:
        assert list(file) == [line(n, 2) for n in range(3)]
    verdict = json.loads(dead.path.with_suffix(".json").read_text())
    assert verdict["problem"] == "the server died while the scan was running, after 3 lines"
    assert verdict["journal"]["lines"] == 3
    assert verdict["pipeline"] == "sense"
    assert {path.name for path in tmp_path.iterdir() if path.name.startswith(".")} == set()
    assert living.path.exists()
    assert recover(tmp_path) == []


def test_archive_starts_with_what_a_dead_server_left(tmp_path):
    """And keeps to the retention: here nothing may stay."""
    killed(journalled(tmp_path, 1))
    Archive(tmp_path, Retention(max_bytes=0)).close()
    assert names(tmp_path) == []
    Archive(tmp_path / "not made yet").close()


def test_journal_that_is_being_converted_is_left(tmp_path):
    """Two servers may share a folder: the lock goes with the journal to the archive."""
    handed = []
    journal = journalled(tmp_path, 1, hand_over=lambda *given: handed.append(given))
    journal.end({})
    assert recover(tmp_path) == []
    convert(journal.path)
    os.close(handed[0][1])
    assert names(tmp_path) == [".h5", ".json"]


def test_one_damaged_journal_does_not_stop_the_others(tmp_path, caplog):
    """It is named and stays."""
    damaged, good = journalled(tmp_path, 1, "a"), journalled(tmp_path, 1, "b")
    for journal in (damaged, good):
        killed(journal)
    damaged.path.write_bytes(b"\3\0")
    assert recover(tmp_path) == [good.path.with_suffix(".h5")]
    assert damaged.path.with_suffix(".damaged").exists()
    assert f"{damaged.path}: left as it is" in caplog.text
    assert recover(tmp_path) == []
    assert caplog.text.count("left as it is, as ") == 1  # it is not tried for ever


@pytest.mark.parametrize(("behind", "left"), [(b"\0" * 99, ".damaged"), (b"\xf0\3\0", None), (b"\xf0", None)])
def test_what_cannot_be_read_is_not_thrown_away(tmp_path, behind, left):
    """A loss of power leaves zeros where lines were; a kill leaves a piece of one line, which is no loss."""
    journal = journalled(tmp_path, 1)
    with journal.path.open("ab") as file:
        file.write(behind)
    killed(journal)
    assert recover(tmp_path) == [journal.path.with_suffix(".h5")]
    assert names(tmp_path) == sorted([".h5", ".json", *([left] if left else [])])
    if left:
        assert journal.path.with_suffix(left).read_bytes().endswith(behind)
    assert recover(tmp_path) == []
    tidy(tmp_path, Retention(max_bytes=0))
    assert names(tmp_path) == []


def test_what_was_hardly_begun_is_removed(tmp_path):
    """Killed before the file had its header: nothing is lost. But another server may be about to lock it."""
    hidden = tmp_path / ".20260131T120000000Z_a.mrd.begun"
    hidden.write_bytes(b"")
    assert recover(tmp_path) == []
    assert hidden.exists()
    os.utime(hidden, (time.time() - 100,) * 2)
    assert recover(tmp_path) == []
    assert not hidden.exists()


@pytest.fixture
def folder(tmp_path):
    """Five scans of 1000 bytes, 1 h apart, the oldest still being written; and files that are not ours."""
    for hour in range(5):
        stem = f"{NOON - timedelta(hours=5 - hour):%Y%m%dT%H%M%S}250Z_{hour}"
        (tmp_path / f"{stem}.json").write_bytes(bytes(100))
        (tmp_path / f"{stem}.{'h5' if hour else 'mrd'}").write_bytes(bytes(900))
    for name in (
        "scan.h5",
        "20260131T070000_a.h5",
        "20260131T070000250Z_a.txt",
        "20260131T070000250Z_b c.h5",
        "20269931T070000250Z_a.h5",
    ):
        (tmp_path / name).write_bytes(bytes(5000))
    with next(tmp_path.glob("*.mrd")).open() as living:
        fcntl.flock(living, fcntl.LOCK_EX)
        yield tmp_path


@pytest.mark.parametrize(
    ("retention", "left"),
    [
        (Retention(), "01234"),
        (Retention(max_bytes=5000), "01234"),
        (Retention(max_bytes=4999), "0234"),
        (Retention(max_bytes=0), "0"),
        (Retention(max_age_s=2.5 * 3600), "034"),
        (Retention(max_bytes=2000, max_age_s=3.5 * 3600), "04"),
    ],
)
def test_oldest_scans_go_first(folder, retention, left):
    """Never one that is being written, never a file that is not ours."""
    n_strangers = 5
    deleted = tidy(folder, retention, now=NOON)
    assert "".join(sorted(path.stem[-1] for path in folder.glob("*250Z_?.json"))) == left
    assert len(deleted) == 2 * (5 - len(left))
    assert len(list(folder.iterdir())) == n_strangers + 2 * len(left)
