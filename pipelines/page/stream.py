"""Server-sent events: each browser is told of the parts that have changed; one that takes nothing is left alone."""

from __future__ import annotations

import asyncio

from starlette.types import Receive, Scope, Send

from pipelines.page.board import Board

LOOK_SECONDS = 0.25
QUIET_SECONDS = 5.0  # after which a comment tells browsers and proxies that the stream lives
TAKE_SECONDS = 10.0
MOST_STREAMS = 16  # then the oldest makes room
HEADERS = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store"), (b"x-accel-buffering", b"no")]


class Streams:
    """Tells browsers what stands on the board, from now on."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._open: dict[asyncio.Event, None] = {}  # the oldest first

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one browser until it goes, takes nothing, or has to make room."""
        if len(self._open) >= MOST_STREAMS:
            next(iter(self._open)).set()
            self._open.pop(next(iter(self._open)))
        gone = asyncio.Event()
        self._open[gone] = None
        listening = asyncio.create_task(_until_gone(receive, gone))
        try:
            start = {"type": "http.response.start", "status": 200, "headers": HEADERS}
            await asyncio.wait_for(send(start), TAKE_SECONDS)
            await self._tell(send, gone)
            await asyncio.wait_for(send({"type": "http.response.body", "body": b""}), TAKE_SECONDS)
        except (OSError, asyncio.TimeoutError):
            return  # nobody takes it
        finally:
            listening.cancel()
            self._open.pop(gone, None)

    async def _tell(self, send: Send, gone: asyncio.Event) -> None:
        seen, quiet = 0, 0.0
        while not gone.is_set():
            seen, parts = self._board.since(seen)
            quiet = 0.0 if parts else quiet + LOOK_SECONDS
            text = "".join(f"event: {name}\ndata: {value}\n\n" for name, value in parts)
            if quiet >= QUIET_SECONDS:
                text, quiet = ": still here\n\n", 0.0
            if text:
                body = {"type": "http.response.body", "body": text.encode(), "more_body": True}
                await asyncio.wait_for(send(body), TAKE_SECONDS)
            try:
                await asyncio.wait_for(gone.wait(), LOOK_SECONDS)
            except asyncio.TimeoutError:
                continue


async def _until_gone(receive: Receive, gone: asyncio.Event) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    gone.set()
