"""The page's process as the server sees it: started, told, ended, and started again."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from pipelines.page.frames import write_frames
from pipelines.protocol.framing import Message

log = logging.getLogger(__name__)

MODULE = "pipelines.page"
TAKE_SECONDS = 10.0  # for which the process may take nothing
RETRY_SECONDS = 2.0
END_SECONDS = 3.0


@dataclass(frozen=True)
class PageSettings:
    """What the page is told at its start: its token, the folder of kept scans, where the server listens."""

    token: str | None
    folder: str | None
    server: tuple[str, int]


class PageProcess:
    """Runs the page on `listener`, which stays open here, so that it goes on with the next process."""

    def __init__(self, listener: socket.socket, settings: PageSettings, module: str = MODULE) -> None:
        self._listener, self._settings, self._module = listener, settings, module
        self._control: socket.socket | None = None
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process. Raises `OSError`."""
        ours, theirs = socket.socketpair()
        ours.settimeout(TAKE_SECONDS)
        self._control = ours
        descriptors = theirs.fileno(), self._listener.fileno()
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-m", self._module, *map(str, descriptors)],
                pass_fds=descriptors, stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
        write_frames(ours, json.dumps(asdict(self._settings)).encode())  # not as arguments, which everybody may list

    def start_again(self, wait: Callable[[float], object]) -> None:
        """End what is left of the process, and start another, after a pause."""
        self._kill()
        wait(RETRY_SECONDS)
        with suppress(OSError):  # then the next report finds nobody, and tries again
            self.start()

    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self.process is not None and self.process.poll() is None

    def send(self, report: dict[str, Any], images: Sequence[Message]) -> None:
        """Hand over a report and its images. Raises `OSError` if they are not taken."""
        if self._control is None or not self.is_alive():
            raise ConnectionError("it has ended")
        write_frames(self._control, json.dumps(report).encode(), *(part for each in images for part in each.parts))

    def end(self) -> None:
        """Let the process end by itself, else kill it."""
        if self._control is not None:
            self._control.close()
        if self.process is not None:
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(END_SECONDS)
        self._kill()

    def _kill(self) -> None:
        if self._control is not None:
            self._control.close()
        if self.process is None:
            return
        with suppress(ProcessLookupError):
            if self.is_alive():
                os.killpg(self.process.pid, signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(END_SECONDS)
