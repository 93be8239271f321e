"""Read a file in a process of its own: the HDF5 library may go round for ever in a damaged one, or die of it."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

from pipelines.files.finished_file import FileProblem

MOST_SECONDS = 10.0  # at work on one item; waiting for a disk does not count
FORK = multiprocessing.get_context("fork")  # costs milliseconds, where a new Python costs half a second

Item = TypeVar("Item")


def apart(read: Callable[[Path | str], Iterator[Item]], path: Path | str) -> Iterator[Item]:
    """Iterate over `read(path)`, which another process does; closing the iterator ends it, as does Ctrl-C.

    Raises `FileProblem` behind the items that came before: what `read` raised, that it computed for 10 s at one item,
    or that it died. Its own process, not this one, watches the time, so that none is left when this one is killed.
    """
    ours, theirs = FORK.Pipe(duplex=False)
    reader = FORK.Process(target=_read_and_send, args=(read, path, theirs), daemon=True, name="reader")
    reader.start()
    theirs.close()
    try:
        while True:
            try:
                items, problem = ours.recv()
            except EOFError:
                reader.join()
                raise FileProblem(f"{path}: {_end_of(reader.exitcode)}; the file is damaged") from None
            if problem:
                raise FileProblem(problem)
            if not items:
                return
            yield items[0]
    finally:
        reader.kill()
        reader.join()
        ours.close()


def _read_and_send(read: Callable[[Path | str], Iterator[Any]], path: Path | str, theirs: Connection) -> None:
    """Send pairs: one item and no problem; no item and a problem, if there is one, at the end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever asked ends this process
    signal.signal(signal.SIGPROF, signal.SIG_DFL)  # which ends it, wherever it is
    try:
        items = read(path)
        while found := _next(items):
            theirs.send((found, None))
        theirs.send(((), None))
    except BrokenPipeError:  # whoever asked is gone
        return
    except FileProblem as problem:
        theirs.send(((), str(problem)))
    except Exception as error:  # noqa: BLE001 - a damaged file has h5py raise errors of every kind
        reason = " ".join(str(error).split()) or type(error).__name__
        theirs.send(((), f"{path}: cannot be read ({reason}); the file is damaged"))


def _next(items: Iterator[Any]) -> tuple[Any, ...]:
    signal.setitimer(signal.ITIMER_PROF, MOST_SECONDS)
    try:
        for item in items:
            return (item,)
        return ()
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _end_of(exit_code: int | None) -> str:
    if exit_code == -signal.SIGPROF:
        return f"the HDF5 library came to no end within {MOST_SECONDS:g} s"
    return f"the HDF5 library died of it (exit code {exit_code})"
