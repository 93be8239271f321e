"""A page beside a running server: what it shows, to whom, and that scans do not notice it."""

import json
import os
import signal
import socket
import time
from urllib.parse import urlsplit

import pytest

from pipelines.page import process
from pipelines.page.history import FILE
from pipelines.page.page import Page
from pipelines.page.stream import MOST_STREAMS
from tests.page.showing import showing
from tests.streaming import bytes_by_hand as by_hand
from tests.streaming.serving import serving, tiny_scan, wait_until

TOKEN = "0123456789abcdef"
HEADER, LINES = tiny_scan()
BEGIN = (by_hand.config_file("sense"), by_hand.text(3, HEADER))
BEARER = {"Authorization": f"Bearer {TOKEN}"}
JSON = {"Content_Type": "application/json"}


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    with showing(tmp_path_factory.mktemp("kept"), n_workers=1) as shown:
        yield shown


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    with showing(tmp_path_factory.mktemp("guarded"), TOKEN, n_workers=1) as guarded:
        yield guarded


def test_a_scan_is_shown_while_it_runs_and_when_it_has_ended(shown):
    """Who scans, how far it is, its image, its end."""
    with shown.served.connect() as peer:
        address = "{}:{}".format(*peer.socket.getsockname())
        peer.send(*BEGIN, *LINES[:20])
        (scan,) = shown.wait_for("running", lambda scans: scans and scans[0]["lines"] == 20)
        assert (scan["peer"], scan["pipeline"], scan["lines_announced"]) == (address, "sense", 32)
        peer.send(*LINES[20:], by_hand.CLOSE).hear_out()
    ended = shown.wait_for("ended", lambda scans: scans and scans[0]["scan"] == scan["scan"])[0]
    assert (ended["lines_on_grid"], ended["images"], ended["problem"]) == (32, 1, None)
    assert list(ended["at"]) != []
    assert "SenseRecon" in ended["gadgets"]
    assert shown.wait_for("running", lambda scans: not scans) == []  # the parts of a page are told one by one
    picture = shown.wait_for("pictures", bool)[0]
    assert picture["scan"] == scan["scan"]
    assert shown.ask(f"pictures/{picture['picture']}.png")[2].startswith(b"\x89PNG")


def test_a_failure_is_shown_with_its_sentence(shown):
    """The one that the client got."""
    with shown.served.connect() as peer:
        sentence = peer.send(*BEGIN, *LINES[:5]).hang_up().sentence()
    shown.wait_for("ended", lambda scans: scans and scans[0]["problem"] == sentence)


def test_the_history_holds_neither_patient_nor_pixels(shown):
    """It is a file beside others, kept for longer."""
    named = HEADER.replace(b"<encoding>", b"<subjectInformation><patientName>Doe^Jane</patientName>"
                           b"</subjectInformation><encoding>", 1)  # fmt: skip
    with shown.served.connect() as peer:
        peer.send(by_hand.config_file("sense"), by_hand.text(3, named), *LINES, by_hand.CLOSE).hear_out()
    (journal,) = [each for each in shown.served.journals if "Doe" in each.header]
    shown.wait_for("ended", lambda scans: scans and scans[0]["scan"] == journal.scan_id)
    assert "Doe" not in str(shown.parts())
    stored = (shown.folder / FILE).read_bytes()
    assert journal.scan_id.encode() in stored
    assert not [word for word in (b"Doe", b"pictures", b"PNG") if word in stored]


def test_a_page_that_is_killed_comes_back(tmp_path):
    """With its history, on its port; the scan that runs meanwhile is not told anything, and is shown to its end."""
    others = _pages_of(os.getpid())
    with showing(tmp_path, n_workers=1) as shown:
        shown.scan()
        before = shown.parts()["ended"]
        with shown.served.connect() as peer:
            peer.send(*BEGIN, *LINES[:20])
            shown.wait_for("running", bool)
            (pid,) = {*_pages_of(os.getpid())} - {*others}
            os.kill(pid, signal.SIGKILL)
            peer.send(*LINES[20:], by_hand.CLOSE).hear_out()
            assert peer.sentences() == []
        ended = shown.wait_for("ended", lambda scans: len(scans) > len(before))
    assert ended[1:] == before
    assert ended[0]["lines"] == 32


def test_a_deaf_page_does_not_hold_up_scans(monkeypatch):
    """It is ended and started again, which helps nothing, and harms nobody."""
    monkeypatch.setattr(process, "TAKE_SECONDS", 0.5)
    page = Page("127.0.0.1", 0, module="tests.page.deaf_page")
    with serving(page.feed, n_workers=1) as served:
        page.start(lambda: {"padding": f"{time.monotonic()}" * 100_000}, ("localhost", served.server.port), None)
        first = _pages_of(os.getpid(), "deaf_page")
        for _ in range(3):
            served.check()
        wait_until(lambda: _pages_of(os.getpid(), "deaf_page") not in ([], first))
        served.check()
        page.close()
    assert _pages_of(os.getpid(), "deaf_page") == []


def test_dead_browsers_hold_nothing(shown):
    """Each open stream that nobody reads is bounded; the oldest makes room, the page answers."""
    address = urlsplit(shown.url)
    dead = [socket.create_connection((address.hostname, address.port)) for _ in range(MOST_STREAMS + 4)]
    for each in dead:
        each.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert each.recv(15) == b"HTTP/1.1 200 OK"
    dead[0].settimeout(60)
    while dead[0].recv(1 << 16):
        pass  # to the end that the server makes
    assert shown.ask("")[0] == 200
    assert "server" in shown.parts()
    for each in dead:
        each.close()


def test_the_page_needs_nothing_from_elsewhere(shown):
    """Scanners' networks have no internet; and no script may come in with a text."""
    for path in ("", "page.js", "page.css"):
        status, headers, body = shown.ask(path)
        assert status == 200
        assert b"//" not in body.replace(b"// Draws", b"")
        assert headers["content-security-policy"].startswith("default-src 'self'; ")
    assert b"innerHTML" not in shown.ask("page.js")[2]


def test_without_a_token_nothing_can_be_changed(shown):
    """Whoever can reach the port could take a worker."""
    status, _, body = shown.ask("replay", json.dumps({"name": "a", "pipeline": "sense"}).encode(), **JSON)
    assert (status, body) == (403, b"nothing can be changed from here without --page-token")


def test_a_foreign_name_is_refused(shown):
    """A web page elsewhere whose name leads to 127.0.0.1."""
    assert shown.ask("events", Host="evil.example:9004")[0] == 403


def test_with_a_token_all_is_closed(guarded):
    """But the form that asks for it."""
    assert b"Token of this page" in guarded.ask("")[2]
    assert [guarded.ask(path)[0] for path in ("", "events", "pictures/1.png", "page.js")] == [401] * 4
    assert guarded.ask("", **BEARER)[0] == 200


def test_the_token_is_asked_once(guarded):
    """Then a cookie has it, which no script can read and no other site makes the browser send."""
    assert guarded.ask("enter", b"token=wrong-wrong-wrong-wrong")[0] == 401
    status, headers, _ = guarded.ask("enter", f"token={TOKEN}".encode())
    assert (status, headers["location"]) == (303, "/")
    cookie = headers["set-cookie"]
    assert "httponly" in cookie.lower()
    assert "samesite=strict" in cookie.lower()
    assert guarded.ask("", Cookie=cookie.partition(";")[0])[0] == 200


def test_another_site_changes_nothing(guarded):
    """Not even with the token."""
    body = json.dumps({"name": "a", "pipeline": "sense"}).encode()
    assert guarded.ask("replay", body, Origin="http://evil.example", **BEARER, **JSON)[0] == 403
    assert guarded.ask("replay", body, **BEARER, **JSON)[0] == 409


def test_a_kept_scan_is_replayed(guarded):
    """Through the server, as a scan of its own that says whose replay it is."""
    scan = guarded.scan()
    kept = guarded.wait_for("kept", lambda scans: scan in str(scans))
    (name,) = [each["name"] for each in kept if scan in each["name"]]
    body = json.dumps({"name": name, "pipeline": "grappa"}).encode()
    assert guarded.ask("replay", body, **BEARER, **JSON)[0] == 202
    ended = guarded.wait_for("ended", lambda scans: scans[0]["pipeline"] == "grappa")
    assert (ended[0]["replay_of"], ended[0]["images"], ended[0]["problem"]) == (name, 1, None)
    assert guarded.wait_for("replay", lambda told: told["state"] != "runs")["state"] == "is done"


REFUSED = {
    "no such scan": ({"name": "20260101T000000000Z_none", "pipeline": "sense"}, 409, "no kept scan"),
    "a way out": ({"name": "../20260101T000000000Z_none", "pipeline": "sense"}, 409, "no kept scan"),
    "a list": ([1], 400, "JSON with name and pipeline"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_replayed_is_said(guarded, what):
    """Nothing but kept scans, by name."""
    asked, expected, sentence = REFUSED[what]
    status, _, body = guarded.ask("replay", json.dumps(asked).encode(), **BEARER, **JSON)
    assert status == expected
    assert sentence in json.loads(body)["problem"]


def test_only_installed_pipelines_replay(guarded):
    """Nobody sends XML through a page."""
    guarded.scan()
    (kept, *_) = guarded.wait_for("kept", bool)
    body = json.dumps({"name": kept["name"], "pipeline": "<configuration/>"}).encode()
    status, _, answer = guarded.ask("replay", body, **BEARER, **JSON)
    assert status == 409
    assert json.loads(answer)["problem"].startswith("replay: no pipeline '<configuration/>' for kept scans; ")


def _pages_of(parent: int, module: str = "pipelines.page") -> list[int]:
    """Processes of pages that `parent` has started, and that live."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat") as stat, open(f"/proc/{pid}/cmdline") as command:
                state, of = stat.read().rpartition(")")[2].split()[:2]
                if int(of) == parent and state != "Z" and module in command.read():
                    found.append(int(pid))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found
