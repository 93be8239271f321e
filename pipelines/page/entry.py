"""Who may see the page, and who may change something: by token, host and origin."""

from __future__ import annotations

import hmac
import ipaddress
import re
from collections.abc import Mapping

COOKIE = "kband_page"
TOKEN = re.compile(r"[A-Za-z0-9_-]{16,200}")
OWN_NAMES = ("localhost", "127.0.0.1", "[::1]")


def token_problem(address: str, token: str | None) -> str | None:
    """Say why a page must not be served like this, or None: others than this machine need a token to see it."""
    if token is not None and not TOKEN.fullmatch(token):
        return f"--page-token: {len(token)} characters; 16 to 200 letters, digits, - and _ expected"
    if token is None and not is_own(address):
        return f"--page-address: {address} can be reached by others; set --page-token"
    return None


def is_own(address: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


class Entry:
    """Decides on requests by their headers. Without a token all may look who reach this machine by its own name."""

    def __init__(self, token: str | None) -> None:
        self._token = token

    @property
    def may_change(self) -> bool:
        """Whether anybody may change anything: only with a token."""
        return self._token is not None

    def knows(self, token: str) -> bool:
        """Whether this is the token; takes as long whatever it is."""
        return self._token is not None and hmac.compare_digest(token.encode(), self._token.encode())

    def may_look(self, headers: Mapping[str, str], cookies: Mapping[str, str]) -> bool:
        """Whether a request may see what is shown.

        Without a token the host must be this machine: a page of somebody else's whose name leads here is refused.
        """
        if self._token is None:
            return headers.get("host", "").rpartition(":")[0] in OWN_NAMES or headers.get("host") in OWN_NAMES
        kind, _, token = headers.get("authorization", "").partition(" ")
        return (kind == "Bearer" and self.knows(token.strip())) or self.knows(cookies.get(COOKIE, ""))

    def comes_from_here(self, headers: Mapping[str, str]) -> bool:
        """Whether a request was made by this page, or by no page: browsers name the origin of every POST."""
        origin = headers.get("origin")
        if origin is None:
            return headers.get("sec-fetch-site") in (None, "same-origin")
        return origin in (f"http://{headers.get('host')}", f"https://{headers.get('host')}")
