"""The page over HTTP: what can be asked, and by whom."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from pipelines.page.board import Board
from pipelines.page.entry import COOKIE, Entry
from pipelines.page.replays import Refused, Replays
from pipelines.page.stream import Streams

FOLDER = Path(__file__).parent / "files"
FILES = {"/page.js": "text/javascript", "/page.css": "text/css"}
LONGEST_REQUEST = 4096  # bytes
SAFE = {
    "content-security-policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    "x-content-type-options": "nosniff", "referrer-policy": "same-origin", "cache-control": "no-store",
}  # fmt: skip

Answer = Callable[[Request], Awaitable[Response]]


def application(board: Board, entry: Entry, replays: Replays) -> ASGIApp:
    """Make the ASGI application: the page, its stream, its pictures; replays and entering by POST."""
    streams = Streams(board)

    async def picture(request: Request) -> Response:
        png = board.picture(request.path_params["number"])
        return Response("gone", 404) if png is None else Response(png, media_type="image/png")

    async def replay(request: Request) -> Response:
        try:
            asked = await request.json()
            replays.begin(str(asked["name"]), str(asked["pipeline"]))
        except Refused as problem:
            return JSONResponse({"problem": str(problem)}, 409)
        except (ValueError, KeyError, TypeError):
            return JSONResponse({"problem": "replay: JSON with name and pipeline expected"}, 400)
        return JSONResponse({"problem": None}, 202)

    async def enter(request: Request) -> Response:
        token = parse_qs((await request.body()).decode("latin-1")).get("token", [""])[0]
        if not entry.knows(token):
            return _file("entry.html", "text/html", 401)
        answer = RedirectResponse("/", 303)
        answer.set_cookie(COOKIE, token, httponly=True, samesite="strict", secure=request.url.scheme == "https")
        return answer

    async def page(_: Request) -> Response:
        return _file("page.html", "text/html")

    async def part(request: Request) -> Response:
        return _file(request.url.path.strip("/"), FILES[request.url.path])

    routes = [
        Route("/", page), *(Route(path, part) for path in FILES),
        Route("/events", streams), Route("/pictures/{number:int}.png", picture),
        Route("/replay", replay, methods=["POST"]), Route("/enter", enter, methods=["POST"]),
    ]  # fmt: skip
    return _Guarded(Starlette(routes=routes), entry)


class _Guarded:
    """Lets in who may look, POST only from the page itself, to `/enter` or with the token; small requests only."""

    def __init__(self, inner: ASGIApp, entry: Entry) -> None:
        self._inner, self._entry = inner, entry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        refusal = self._refusal(Request(scope))
        if refusal is None:
            await self._inner(scope, receive, _with_headers(send))
        else:
            await refusal(scope, receive, _with_headers(send))

    def _refusal(self, request: Request) -> Response | None:
        is_change, is_entering = request.method not in ("GET", "HEAD"), request.url.path == "/enter"
        if is_change:
            length = request.headers.get("content-length", "")
            if not (length.isdigit() and int(length) <= LONGEST_REQUEST):
                return Response(f"at most {LONGEST_REQUEST} bytes are read", 413)
            if not self._entry.comes_from_here(request.headers):
                return Response("another page asked for this", 403)
            if not self._entry.may_change:
                return Response("nothing can be changed from here without --page-token", 403)
        if is_entering or request.url.path == "/page.css" or self._entry.may_look(request.headers, request.cookies):
            return None
        if not self._entry.may_change:
            return Response("ask for localhost: other names need --page-token", 403)
        return _file("entry.html", "text/html", 401)


def _file(name: str, kind: str, status: int = 200) -> Response:
    return FileResponse(FOLDER / name, status, media_type=kind)


def _with_headers(send: Send) -> Send:
    async def sent(message: dict) -> None:
        if message["type"] == "http.response.start":
            ours = [(name.encode(), value.encode()) for name, value in SAFE.items()]
            kept = [pair for pair in message["headers"] if pair[0].lower().decode() not in SAFE]
            message = {**message, "headers": [*kept, *ours]}
        await send(message)

    return sent
