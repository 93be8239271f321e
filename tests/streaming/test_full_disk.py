"""A disk that is full costs no image, is told to who watches, and is not filled further."""

import errno
import json
import os
import time
import urllib.request

import h5py
import pytest

from pipelines.hosts.archive import Archive, recover
from pipelines.hosts.journal import Journals
from pipelines.hosts.retention import Retention, tidy
from tests.streaming.serving import LONG, serving, wait_until
from tests.streaming.test_archive import journalled, killed, names


@pytest.fixture
def full_disk():
    """Leave no room from the call on: for the journals' own writes, or for those of HDF5."""
    with pytest.MonkeyPatch.context() as patch:

        def fill(owner: object, name: str) -> pytest.MonkeyPatch:
            def full(*_, **__):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

            patch.setattr(owner, name, full)
            return patch

        yield fill


@pytest.mark.parametrize(
    ("where", "sentence", "n_not_kept"),
    [
        ((os, "writev"), "the journal stopped after 0 lines (No space left on device)", 1),
        ((h5py.Group, "create_dataset"), "a scan could not be made an HDF5 file (No space left on device)", 0),
    ],
    ids=["journal", "HDF5"],
)
def test_full_disk_is_told_to_who_watches(tmp_path, full_disk, where, sentence, n_not_kept):
    """Scans are served as before, so the server stays ready; when there is room again, that is told too."""
    archive = Archive(tmp_path)
    with serving(Journals(archive.begin, lambda: archive.problem), n_workers=1) as served:
        http = served.server.monitor.serve("localhost", 0)

        def ask(path: str) -> str:
            with urllib.request.urlopen(f"http://localhost:{http.server_port}/{path}", timeout=LONG) as answer:
                return answer.read().decode()

        room = full_disk(*where)
        served.check()
        wait_until(lambda: served.server.state()["keeping_problem"] is not None)
        served.wait_until_idle()
        assert json.loads(ask("ready"))["keeping_problem"] == sentence
        assert {"kband_keeping_problem 1.0", f"kband_scans_not_kept {n_not_kept}.0"} <= {*ask("metrics").splitlines()}
        room.undo()
        served.check()
        wait_until(lambda: served.server.state()["keeping_problem"] is None)
        assert "kband_keeping_problem 0.0" in ask("metrics")
        http.shutdown()
        http.server_close()
    archive.close()


def test_journal_without_room_waits_for_it(tmp_path, full_disk):
    """It stays a journal, nothing half-written stays beside it, and the next server finds room."""
    journal = journalled(tmp_path, 3)
    killed(journal)
    room = full_disk(h5py.Group, "create_dataset")
    assert recover(tmp_path) == []
    assert names(tmp_path) == [".json", ".mrd"]
    room.undo()
    assert recover(tmp_path) == [journal.path.with_suffix(".h5")]


def test_no_conversion_is_begun_without_room(tmp_path, monkeypatch):
    """A journal that is larger than what is free would fill the disk for the scans that run."""
    killed(journalled(tmp_path, 3))
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 100}))
    monkeypatch.setattr("pipelines.hosts.archive.convert", lambda _: pytest.fail("it was begun"))
    assert recover(tmp_path) == []
    assert names(tmp_path) == [".json", ".mrd"]


def test_unconverted_journals_count_against_the_retention(tmp_path):
    """Else a disk that is full once stays full: they go by age like all, but for those that a server holds."""
    dead, living = journalled(tmp_path, 3, "dead"), journalled(tmp_path, 3, "living")
    killed(dead)
    tidy(tmp_path, Retention(max_bytes=0))
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".json", ".mrd"]
    assert living.path.exists()
    killed(living)
    tidy(tmp_path, Retention(max_bytes=0))
    assert names(tmp_path) == []


@pytest.mark.parametrize("kind", ["h5", "json"])
def test_nothing_unfinished_stays(tmp_path, kind):
    """Also of a scan whose journal is gone; of one that a living server holds it may be in use."""
    living = journalled(tmp_path, 1, "living")
    left = [tmp_path / f".{stem}.{kind}.4711.unfinished" for stem in ("20260131T120000000Z_a", living.path.stem)]
    for path in left:
        path.write_bytes(b"half")
        os.utime(path, (time.time() - 100,) * 2)
    assert recover(tmp_path) == []
    assert [path.exists() for path in left] == [False, True]
    killed(living)
    assert recover(tmp_path) == [living.path.with_suffix(".h5")]
    assert not left[1].exists()
