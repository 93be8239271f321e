"""A server with its page, its kept scans, and somebody who asks over HTTP."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipelines.hosts.archive import Archive
from pipelines.hosts.journal import Journals
from pipelines.page.page import Page
from tests.streaming.serving import LONG, Served, serving, wait_until


class Shown:
    """The page of a running server, as one who has its `token`."""

    def __init__(self, served: Served, page: Page, token: str | None, folder: Path) -> None:
        self.served, self.page, self.url, self.token, self.folder = served, page, page.url, token, folder

    def ask(self, path: str, body: bytes | None = None, **headers: str) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers and body of an answer; redirections are not followed."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        asked = urllib.request.Request(self.url + path, body, named)
        try:
            with urllib.request.build_opener(_Stay()).open(asked, timeout=LONG) as answer:
                return answer.status, {name.lower(): v for name, v in answer.headers.items()}, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, {name.lower(): v for name, v in error.headers.items()}, error.read()

    def parts(self) -> dict[str, Any]:
        """What stands on the page now: the beginning of its stream."""
        asked = urllib.request.Request(self.url + "events")
        if self.token:
            asked.add_header("Authorization", f"Bearer {self.token}")
        with urllib.request.urlopen(asked, timeout=LONG) as answer:
            text = answer.read1(1 << 24).decode()
            while not text.endswith("\n\n"):
                text += answer.read1(1 << 24).decode()
        lines = [part.splitlines() for part in text.strip().split("\n\n")]
        return {name.removeprefix("event: "): json.loads(data.removeprefix("data: ")) for name, data in lines}

    def scan(self) -> str:
        """Let the server serve a tiny scan, wait until it stands among the ended ones; return its name."""
        self.served.check()
        name = self.served.last_journal().scan_id
        self.wait_for("ended", lambda scans: scans and scans[0]["scan"] == name)
        return name

    def wait_for(self, name: str, is_so) -> Any:
        """Wait until a part is there of which something is so; return it."""
        wait_until(lambda: name in (parts := self.parts()) and is_so(parts[name]))
        return self.parts()[name]


@contextmanager
def showing(folder: Path, token: str | None = None, **settings: Any) -> Iterator[Shown]:
    """Run a server that keeps its scans in `folder`, and its page."""
    archive, page = Archive(folder), Page("127.0.0.1", 0, token)
    folder.mkdir(exist_ok=True)
    with serving(Journals(archive.begin, lambda: archive.problem), page.feed, **settings) as served:
        page.start(served.server.state, ("localhost", served.server.port), folder)
        try:
            yield Shown(served, page, token, folder)
        finally:
            page.close()
    archive.close(LONG)


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        """Follow nothing."""
