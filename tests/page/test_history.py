"""Scans that have ended, over a restart; few, and harmless to lose."""

import stat

from pipelines.page import history as keeping
from pipelines.page.history import FILE, History


def report(number: int) -> dict:
    return {"scan": f"{number:04d}", "at": {"end": float(number)}, "problem": None}


def test_it_survives_a_restart(tmp_path):
    """An operator asks in the morning what went wrong at night."""
    History(tmp_path).add(report(1))
    assert History(tmp_path).newest(10) == [report(1)]


def test_the_last_comes_first(tmp_path):
    """And a scan that is told twice stands once."""
    history = History(tmp_path)
    for number in (1, 3, 2, 2):
        history.add(report(number))
    assert [scan["scan"] for scan in history.newest(2)] == ["0003", "0002"]
    assert len(history.newest(10)) == 3


def test_it_is_bounded(tmp_path, monkeypatch):
    """A server runs for years."""
    monkeypatch.setattr(keeping, "MOST_SCANS", 5)
    history = History(tmp_path)
    for number in range(20):
        history.add(report(number))
    assert [scan["scan"] for scan in history.newest(100)] == ["0019", "0018", "0017", "0016", "0015"]


def test_a_broken_file_is_said_and_left_alone(tmp_path):
    """The page goes on without it."""
    (tmp_path / FILE).write_bytes(b"no database at all, " * 100)
    history = History(tmp_path)
    history.add(report(1))
    assert history.newest(10) == [report(1)]
    assert history.problem.startswith("history.sqlite: the history is not kept (")
    assert (tmp_path / FILE).read_bytes().startswith(b"no database")


def test_without_a_folder_nothing_is_written(tmp_path, monkeypatch):
    """`--no-save` means it."""
    monkeypatch.chdir(tmp_path)
    history = History(None)
    history.add(report(1))
    assert history.newest(10) == [report(1)]
    assert list(tmp_path.iterdir()) == []


def test_it_is_for_the_servers_user_alone(tmp_path):
    """As the kept scans beside it are, under whatever mask."""
    History(tmp_path).add(report(1))
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600
