"""What a session announces: enough for a log, metrics and an archive, and nothing that names a patient."""

import io
import json
import logging
import sys

import pytest

from gadgets.scan import Scan
from pipelines.chain.pipeline import Pipeline, installed_xml
from pipelines.hosts.events import Arrived, Began, Ended, Events, Facts, Failed, ImageSent, Opened
from pipelines.hosts.logs import configure_logs
from pipelines.hosts.scan_log import log_scan
from tests.streaming import bytes_by_hand as by_hand
from tests.streaming.serving import serving, tiny_scan
from tests.streaming.stock import inner_configuration

HEADER, LINES = tiny_scan()
NAME = b"<subjectInformation><patientName>Doe^Jane</patientName></subjectInformation>"
NAMED = HEADER.replace(b"<encoding>", NAME + b"<encoding>", 1)
BEGAN = Began("0123", "10.0.0.7:40112", "fire", "kband", 8, Facts((256, 256, 1), 4, "simulated_small", 256))


@pytest.fixture(scope="module")
def events():
    return []


@pytest.fixture(scope="module")
def served(events):
    with serving(events.append, n_workers=1) as served:
        yield served


def announced(served, events, *messages: bytes) -> list:
    """All that is announced of one scan, and the peer's own address."""
    events.clear()
    with served.connect() as peer:
        address = "{}:{}".format(*peer.socket.getsockname())
        peer.send(*messages, by_hand.CLOSE).hear_out()
    return [*events, address]


def test_a_scan_is_told_from_header_to_end(served, events):
    """In this order, whatever the threads do; the end comes before the peer can know of it."""
    *told, _ = announced(served, events, by_hand.config_file("sense"), by_hand.text(3, HEADER), *LINES)
    assert isinstance(told[0], Opened)
    assert isinstance(told[-1], Ended)
    assert sum(isinstance(event, Arrived) for event in told) == len(LINES) + 1  # CLOSE as well
    assert [type(event) for event in told if not isinstance(event, Arrived)] == [Opened, Began, ImageSent, Ended]
    assert len({event.scan_id for event in told}) == 1


DIALECTS = {
    "gadgetron": (by_hand.config_file("sense"), False, "sense"),
    "fire": (by_hand.config_file("sense.xml"), True, "sense"),
    "parent": (by_hand.text(2, inner_configuration("sense").encode()), False, "sent as text"),
}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_beginning_says_who_and_what(served, events, dialect):
    """What an operator asks first when a scan looks odd."""
    config, nul, pipeline = DIALECTS[dialect]
    *told, address = announced(served, events, config, by_hand.text(3, HEADER, nul), *LINES)
    (began,) = (event for event in told if isinstance(event, Began))
    assert began == Began(told[0].scan_id, address, dialect, pipeline, 2, Facts((32, 32, 1), 1, None, 32))


@pytest.mark.parametrize(
    ("dialect", "problem"), [("fire", None), ("parent", "1 of 1 image incomplete (SENSE; INCOMPLETE 31 of 32 lines)")]
)
def test_a_missing_line_is_an_error_to_a_parent_alone(served, events, dialect, problem):
    """A client reads what the image says of itself; Gadgetron hears nothing but an ERROR."""
    config, nul, _ = {**DIALECTS, "parent": (by_hand.text(2, inner_configuration("auto").encode()), False, "")}[dialect]
    *told, _ = announced(served, events, config, by_hand.text(3, HEADER, nul), *LINES[:7], *LINES[8:])
    assert (told[-1].verdict.n_incomplete, told[-1].problem) == (1, problem)


def test_the_model_is_told():
    """Which network made the images of a day must stand in the log of that day."""
    assert Facts.of(Scan.from_xml(HEADER), Pipeline.from_xml(installed_xml("kband"))).model == "simulated_small"


def test_a_refused_scan_never_begins(served, events):
    """It fails, and ends; its header was there to be kept."""
    *told, _ = announced(served, events, by_hand.config_file("nothing"), by_hand.text(3, HEADER), LINES[0])
    assert [type(event) for event in told if not isinstance(event, Arrived)] == [Failed, Opened, Ended]
    assert told[0].kind == "request"


def test_a_question_is_no_scan(served, events):
    """Gadgetron's client asks for noise first, without a header: there is nothing to keep."""
    *told, _ = announced(served, events, by_hand.config_file("sense"))
    assert [type(event) for event in told] == [Ended]


def test_one_who_watches_and_fails_harms_nobody(caplog):
    """A full disk of the archive must not cost the metrics, nor the scan."""
    heard = []
    Events(lambda event: 1 / 0, heard.append).announce(BEGAN)
    assert heard == [BEGAN]
    assert "whoever watches scans failed at Began" in caplog.text


def test_the_log_names_no_patient(served, events, caplog):
    """The header knows who lies in the scanner; the log is read by others."""
    with caplog.at_level(logging.DEBUG):
        announced(served, events, by_hand.config_file("sense"), by_hand.text(3, NAMED), *LINES)
    assert "scan begins" in caplog.messages
    assert not [record for record in caplog.records if "Doe" in str(vars(record))]


class Screen(io.StringIO):
    """Standard error, of a terminal or not."""

    def __init__(self, is_terminal: bool) -> None:
        super().__init__()
        self.isatty = lambda: is_terminal


@pytest.fixture
def logged(monkeypatch):
    """Maker of what the server's log shows of an event."""
    root = logging.getLogger()
    before = root.handlers[:], root.level

    def logged(event, *, is_terminal: bool) -> str:
        monkeypatch.setattr(sys, "stderr", Screen(is_terminal))
        configure_logs()
        log_scan(event)
        return sys.stderr.getvalue()

    yield logged
    root.handlers[:], root.level = before


def test_the_beginning_is_one_line_of_json(logged):
    """For whatever collects logs: these facts and no others."""
    (line,) = logged(BEGAN, is_terminal=False).splitlines()
    facts = json.loads(line)
    assert facts.pop("timestamp")
    assert facts == {
        "event": "scan begins", "level": "info", "logger": "pipelines.hosts.scan_log", "scan": "0123",
        "peer": "10.0.0.7:40112", "dialect": "fire", "pipeline": "kband", "coils": 8, "matrix": [256, 256, 1],
        "acceleration": 4, "model": "simulated_small", "n_lines": 256,
    }  # fmt: skip


def test_a_terminal_shows_it_as_text(logged):
    """Nobody reads JSON; unknown facts are left out."""
    (line,) = logged(BEGAN, is_terminal=True).splitlines()
    assert not line.startswith("{")
    for part in ("scan begins", "peer=10.0.0.7:40112", "pipeline=kband", "coils=8", "matrix=(256, 256, 1)"):
        assert part in line
    assert "\x1b" not in line


def test_a_failure_keeps_its_traceback(logged):
    """On a terminal as in JSON."""
    for is_terminal in (False, True):
        logged(BEGAN, is_terminal=is_terminal)
        try:
            raise KeyError("coil 7")
        except KeyError:
            logging.getLogger("pipelines").exception("it failed")
        assert "KeyError" in sys.stderr.getvalue()
