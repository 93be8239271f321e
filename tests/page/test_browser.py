"""The page in a real browser, beside scans at the scanner's pace; skipped where there is no chromium."""

import re
import threading
from collections.abc import Iterator

import ismrmrd
import pytest

from pipelines.chain.pace import paced
from pipelines.chain.verdict import Verdict
from pipelines.hosts.client import Client, Target
from pipelines.simulation.simulated_protocol import Protocol
from pipelines.simulation.simulated_scan import simulate_scan
from tests.page.browser import CHROMIUM, look
from tests.page.showing import showing

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium")

TICKS, N_LINES, N_SEEN = 20, 32, 24  # of 2.5 ms, from line to line


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    with showing(tmp_path_factory.mktemp("kept"), n_workers=1) as shown:
        yield shown


@pytest.fixture(scope="module")
def scan():
    """One slice of 32 lines ; an operator has typed markup for its name."""
    header, lines, _ = simulate_scan(Protocol(matrix=32, n_coils=2, n_slices=1, acceleration=1, noise_scan=False))
    for number, line in enumerate(lines):
        line.acquisition_time_stamp = TICKS * number
    name = "<protocolName>&lt;b&gt;knee&lt;/b&gt;</protocolName>"
    return re.sub("<protocolName>[^<]*</protocolName>", name, header), lines


def send(shown, header, lines, *, go_on: threading.Event | None = None) -> None:
    """Send lines at the scanner's pace; behind the first 24 wait until the scan may `go_on`."""
    client = Client(Target("localhost", shown.served.server.port, "sense", dialect="fire"), hear=lambda _: None)

    def due() -> Iterator[ismrmrd.Acquisition]:
        for number, line in enumerate(paced(lines, None, sleep=client.closed.wait)):
            if go_on is not None and number == N_SEEN:
                go_on.wait()
            yield line

    list(client.run(header, due(), Verdict()))


def test_a_running_scan_is_seen(shown, scan):
    """Its name as it was typed, its lines as they come, of those announced."""
    seen = threading.Event()
    sender = threading.Thread(target=send, args=(shown, *scan), kwargs={"go_on": seen})
    sender.start()
    shown.wait_for("running", lambda scans: scans and scans[0]["lines"] == N_SEEN)
    dom = look(shown.url)
    seen.set()
    sender.join()
    assert "&lt;b&gt;knee&lt;/b&gt; · sense" in dom
    assert f"{N_SEEN} of {N_LINES} announced lines" in dom


def test_what_comes_later_is_seen(shown, scan):
    """Without a reload: the scan runs while the browser looks."""
    n_before = len(shown.parts()["ended"])

    def scan_once() -> None:
        send(shown, *scan)
        shown.wait_for("ended", lambda scans: len(scans) > n_before)

    dom = look(shown.url, meanwhile=scan_once)
    scan_id = shown.parts()["ended"][0]["scan"]
    assert f"· {scan_id}</div>" in dom
    assert f"scan {scan_id}</div></figcaption>" in dom


def test_its_image_and_its_flaw_are_seen(shown, scan):
    """A line is lost: the image is framed in red, and says so in words; the failure stands among the others."""
    header, lines = scan
    send(shown, header, lines[:7] + lines[8:])
    shown.wait_for("pictures", lambda pictures: pictures and "INCOMPLETE" in str(pictures[0]["label"]))
    shown.wait_for("ended", lambda scans: scans and scans[0]["incomplete"] == 1)
    dom = look(shown.url)
    assert '<div class="bad">INCOMPLETE: 31 of 32 lines</div>' in dom
    assert '<figure class="bad">' in dom
    assert all(f'<span class="{edge}">' in dom for edge in ("left", "right", "top", "bottom"))
    assert "1 INCOMPLETE" in dom
    assert 'id="lost" class="bad" hidden' in dom


def test_a_page_that_is_gone_says_so(tmp_path):
    """An old picture must not pass for the newest: the page ends while the browser looks."""
    with showing(tmp_path, n_workers=1) as shown:
        dom = look(shown.url, meanwhile=shown.page.close)
    assert 'id="lost" class="bad">' in dom
