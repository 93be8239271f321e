"""One scan at a time on a GPU: gadgets hold its lock while they compute, and let go of it while they wait for lines."""

from __future__ import annotations

import fcntl
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

import torch

from gadgets.errors import PipelineError

SECONDS_BETWEEN_WORDS = 1.0
LONGEST_TOLD_WAIT = 600.0  # seconds; who computes for longer than that without a pause hangs


class Lock(Protocol):
    """What can be held by one at a time."""

    def acquire(self) -> Any: ...
    def release(self) -> Any: ...


class DeviceLock:
    """The lock of one GPU among all processes of this machine; the system drops it when its holder dies.

    While it is waited for, `still_waiting` is called about once a second, in another thread, but for ten minutes at
    most: then whoever watches us may lose patience. Raises `PipelineError` if there is no file that could be locked.
    """

    def __init__(
        self, device: torch.device, folder: Path | None = None, *, still_waiting: Callable[[], object] | None = None
    ) -> None:
        name = f"kband-{os.getuid()}-{device.type}{device.index or 0}.lock"
        try:
            path = (folder or Path(tempfile.gettempdir())) / name
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise PipelineError(f"{device}: the file {name}, by which scans take turns, cannot be opened "
                                f"({error.strerror})") from error  # fmt: skip
        self._still_waiting = still_waiting

    def __enter__(self) -> DeviceLock:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._file)

    def acquire(self) -> None:
        """Wait until no other process holds it."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._wait()

    def release(self) -> None:
        """Let the next one have it."""
        fcntl.flock(self._file, fcntl.LOCK_UN)

    def _wait(self) -> None:
        """Wait in the system's own queue: who looks now and then comes last, where turns are short and many."""
        waited = threading.Event()
        if self._still_waiting is not None:
            threading.Thread(target=self._tell, args=(waited,), daemon=True, name="waits for its turn").start()
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX)
        finally:
            waited.set()

    def _tell(self, waited: threading.Event) -> None:
        end = time.monotonic() + LONGEST_TOLD_WAIT
        while not waited.wait(SECONDS_BETWEEN_WORDS) and time.monotonic() < end:
            self._still_waiting()


class Computing:
    """A gadget's output, made while `lock` is held."""

    def __init__(self, stream: Iterable[Any], lock: Lock) -> None:
        self._stream, self._lock = iter(stream), lock

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        self._lock.acquire()
        try:
            return next(self._stream)
        finally:
            self._lock.release()


class Waiting:
    """A gadget's input, for which it waits without holding `lock`."""

    def __init__(self, source: Iterable[Any], lock: Lock) -> None:
        self._source, self._lock = iter(source), lock

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        self._lock.release()
        try:
            return next(self._source)
        finally:
            self._lock.acquire()
