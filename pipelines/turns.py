"""One scan at a time on a GPU: gadgets hold its lock while they compute, and let go of it while they wait for lines."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

import torch


class Lock(Protocol):
    """What can be held by one at a time."""

    def acquire(self) -> Any: ...
    def release(self) -> Any: ...


class DeviceLock:
    """The lock of one GPU among all processes of this machine; the system drops it when its holder dies."""

    def __init__(self, device: torch.device, folder: Path | None = None) -> None:
        name = f"kband-{os.getuid()}-{device.type}{device.index or 0}.lock"
        path = (folder or Path(tempfile.gettempdir())) / name
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)

    def acquire(self) -> None:
        """Wait until no other process holds it."""
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def release(self) -> None:
        """Let the next one have it."""
        fcntl.flock(self._file, fcntl.LOCK_UN)


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
