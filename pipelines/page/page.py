"""A server's page: where it listens, what feeds it, the process that serves it."""

from __future__ import annotations

import importlib.util
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gadgets.errors import PipelineError
from pipelines.page.entry import token_problem
from pipelines.page.feed import Feed
from pipelines.page.process import MODULE, PageProcess, PageSettings

NEEDED = ("starlette", "uvicorn")
EVERY_ADDRESS = {"0.0.0.0": "localhost", "::": "localhost", "": "localhost"}


class Page:
    """Listens from the beginning, and shows what happens once it is started; `feed` subscribes to a server's events.

    Raises `PipelineError` if it may not be served like this, or a package is missing; `OSError` if it cannot listen.
    """

    def __init__(self, address: str, port: int, token: str | None = None, *, module: str = MODULE) -> None:
        if missing := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
            raise PipelineError(f"{' and '.join(missing)} missing, and the page needs it: pip install kband[page]")
        if problem := token_problem(address, token):
            raise PipelineError(problem)
        self._token, self._module = token, module
        self._listener = socket.create_server((address, port), family=_family(address))
        self.url = f"http://{f'[{address}]' if ':' in address else address}:{self._listener.getsockname()[1]}/"
        self.feed = Feed()

    def start(self, state: Callable[[], dict[str, Any]], server: tuple[str, int], folder: Path | None) -> None:
        """Show a server: its `state`, where scans are sent to it, the folder of kept scans. Raises `OSError`."""
        address = EVERY_ADDRESS.get(server[0], server[0]), server[1]
        settings = PageSettings(self._token, str(folder) if folder else None, address)
        process = PageProcess(self._listener, settings, self._module)
        process.start()
        self.feed.start(state, process)

    def close(self) -> None:
        """End the page; browsers see that it has gone."""
        self.feed.close()
        self._listener.close()


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET
