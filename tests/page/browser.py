"""A real browser that looks at a page for some seconds: chromium, without a window and without DevTools.

It takes its picture when all has loaded; an image that comes late, which a proxy adds to the page, makes it wait while
server-sent events come in.
"""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

CHROMIUM = shutil.which("chromium")
LATE = b'<img src="/late.png" width="1" height="1" alt="" style="display:none"></body>'
LONG = 120.0  # seconds
LOOK_SECONDS = 2.0


def look(
    url: str, *, meanwhile: Callable[[], object] = lambda: None, token: str | None = None, picture: Path | None = None
) -> str:
    """Return the page's DOM after it has been looked at for two seconds; with `picture`, a PNG is made instead.

    `meanwhile` is called in the middle of them.
    """
    with _delaying(url, meanwhile, token) as delayed:
        what = f"--screenshot={picture}" if picture else "--dump-dom"
        done = subprocess.run(
            [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--window-size=1280,1700", what, delayed],
            capture_output=True, timeout=LONG, check=True,
        )  # fmt: skip
    return done.stdout.decode()


@contextmanager
def _delaying(url: str, meanwhile: Callable[[], object], token: str | None) -> Iterator[str]:
    class Proxy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/late.png":
                time.sleep(LOOK_SECONDS / 2)
                meanwhile()
                time.sleep(LOOK_SECONDS / 2)
                self.send_error(404)
                return
            asked = urllib.request.Request(url.rstrip("/") + self.path)
            if token:
                asked.add_header("Authorization", f"Bearer {token}")
            try:
                with urllib.request.urlopen(asked) as answer:
                    self.send_response(200)
                    self.send_header("Content-Type", answer.headers["Content-Type"])
                    self.end_headers()
                    while part := answer.read1():
                        self.wfile.write(part.replace(b"</body>", LATE) if self.path == "/" else part)
            except urllib.error.HTTPError as error:
                self.send_error(error.code)
            except (OSError, HTTPException):
                return  # the browser has seen enough, or the page has ended

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    proxy = ThreadingHTTPServer(("localhost", 0), Proxy)
    proxy.daemon_threads = True
    threading.Thread(target=proxy.serve_forever, daemon=True, name="proxy").start()
    try:
        yield f"http://localhost:{proxy.server_port}/"
    finally:
        proxy.shutdown()
        proxy.server_close()
