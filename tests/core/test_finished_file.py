"""Whoever reads a file finds a whole one: the new one, or the one before it."""

import os

import pytest

from kband_core.finished_file import finished


@pytest.fixture
def path(tmp_path):
    """A file that is there already."""
    (tmp_path / "file.txt").write_text("old")
    return tmp_path / "file.txt"


def names(path) -> list[str]:
    return [each.name for each in path.parent.iterdir()]


def test_it_takes_its_name_at_the_end(path):
    """Until then the one before it is there."""
    with finished(path) as unfinished:
        unfinished.write_text("new")
        assert path.read_text() == "old"
    assert (path.read_text(), names(path)) == ("new", ["file.txt"])


def test_an_exception_leaves_what_was_there(path):
    """A full disk, Ctrl-C: nothing half is left of it."""

    def write() -> None:
        with finished(path) as unfinished:
            unfinished.write_text("n")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert (path.read_text(), names(path)) == ("old", ["file.txt"])


def test_what_nobody_wants_is_gone(path):
    """A file of images without an image."""
    with finished(path, is_wanted=lambda: False) as unfinished:
        unfinished.write_text("new")
    assert (path.read_text(), names(path)) == ("old", ["file.txt"])


def test_two_processes_do_not_write_to_one_file(path):
    """The last one wins, whole."""
    with finished(path) as unfinished:
        unfinished.write_text("")
        assert str(os.getpid()) in unfinished.name
