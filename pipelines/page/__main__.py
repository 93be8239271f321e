"""The page's process: hears the server on one descriptor, serves browsers on another, ends when the server does."""

from __future__ import annotations

import json
import logging
import os
import socket
import sys
import threading
from pathlib import Path

import uvicorn

from pipelines.hosts.logs import configure_logs
from pipelines.page.application import application
from pipelines.page.board import Board
from pipelines.page.entry import Entry
from pipelines.page.frames import read_frame
from pipelines.page.history import History
from pipelines.page.receiver import Receiver
from pipelines.page.replays import Replays, replay_pipelines

POLITENESS = 10  # scans come first
MOST_CONNECTIONS = 64


def main(control_fd: int, listener_fd: int) -> None:
    """Read the settings, then serve until the server closes the control socket, or dies."""
    configure_logs()
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    os.nice(POLITENESS)
    stream = socket.socket(fileno=control_fd).makefile("rb")
    settings = json.loads(read_frame(stream) or b"null")
    if settings is None:
        return
    folder = Path(settings["folder"]) if settings["folder"] else None
    board, entry = Board(), Entry(settings["token"])
    replays = Replays(folder, tuple(settings["server"]), board)
    receiver = Receiver(board, History(folder), replays, folder)
    board.put("offers", {"pipelines": replay_pipelines(), "keeps": folder is not None, "changes": entry.may_change})
    config = uvicorn.Config(
        application(board, entry, replays), log_config=None, access_log=False, server_header=False, lifespan="off",
        limit_concurrency=MOST_CONNECTIONS, timeout_graceful_shutdown=1,
    )  # fmt: skip
    server = uvicorn.Server(config)

    def listen() -> None:
        receiver.listen(stream)
        server.should_exit = True

    threading.Thread(target=listen, daemon=True, name="reports").start()
    server.run(sockets=[socket.socket(fileno=listener_fd)])


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
