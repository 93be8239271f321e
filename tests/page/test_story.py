"""What is told of a scan: all that an operator asks, and nothing of the patient."""

from gadgets.items import Aside
from pipelines.chain.verdict import Seconds, Verdict
from pipelines.hosts.events import Arrived, Began, Ended, Facts, Failed, ImageSent, Opened, Told
from pipelines.page.story import MOST_REMARKS, Story
from pipelines.protocol.framing import CLOSE, Id, Message
from tests.streaming.serving import tiny_scan

HEADER = tiny_scan()[0].decode()
NAME = "<subjectInformation><patientName>Doe^Jane</patientName><patientID>4711990</patientID></subjectInformation>"
PROTOCOL = "<measurementInformation><patientPosition>HFS</patientPosition><protocolName>{}</protocolName>"
IMAGE = Message(Id.IMAGE)


def header(protocol: str) -> str:
    """The tiny scan's, with a patient, of a protocol of that name."""
    start, _, rest = HEADER.partition("<measurementInformation>")
    rest = rest.partition("</measurementInformation>")[2]
    return f"{start}{NAME}{PROTOCOL.format(protocol)}</measurementInformation>{rest}"


def told(*events) -> dict:
    story = Story("0123")
    for moment, event in enumerate(events):
        story.take(float(moment), event)
    return story.report()


OPENED = Opened("0123", header("knee_pd"), "grappa", "10.0.0.7:40112")
BEGAN = Began("0123", "10.0.0.7:40112", "fire", "grappa", 8, Facts((256, 256, 1), 4, None, 256))


def test_the_protocol_is_named():
    """What the operator calls the scan."""
    assert told(OPENED)["protocol"] == "knee_pd"


def test_the_patient_is_not():
    """Not even where an operator has typed the name into that of the protocol."""
    report = told(Opened("0123", header("Jane Doe knee 4711990"), "grappa", "10.0.0.7:40112"))
    assert "knee" in report["protocol"]
    assert not [part for part in ("Jane", "Doe", "4711990") if part in str(report)]


def test_a_header_that_is_none_has_no_protocol():
    """The page tells the scan all the same."""
    assert told(Opened("0123", "<nonsense", "grappa", "peer"))["protocol"] is None


def test_stages_follow_one_another():
    """Where a scan stands, and since when."""
    seconds = {"SenseRecon": Seconds(after_last_line=0.4, in_all=2.0)}
    events = [OPENED, BEGAN, Arrived("0123", CLOSE), ImageSent("0123", False, IMAGE), ImageSent("0123", True, IMAGE),
              Ended("0123", "grappa", None, Verdict(9, 2, 1, latency=0.5, seconds=seconds))]  # fmt: skip
    stages = [told(*events[:n])["stage"] for n in range(1, len(events) + 1)]
    assert stages == ["waits for a worker or its first line", "lines come in", *["all lines are in"] * 3, "ended"]
    report = told(*events)
    assert report["at"] == {"header": 0, "worker": 1, "all lines": 2, "first image": 3, "last image": 4, "end": 5}
    assert (report["images"], report["flawed"], report["fallback"], report["latency"]) == (2, 1, 1, 0.5)
    assert report["gadgets"] == {"SenseRecon": 0.4}


def test_a_failure_has_its_sentence():
    """The one that the client got."""
    report = told(OPENED, Failed("0123", "busy", "server busy: 2 scans run"))
    assert (report["failed"], report["problem"]) == ("busy", "server busy: 2 scans run")


def test_a_mere_question_is_no_story():
    """Gadgetron's client asks for noise before each scan."""
    story = Story("0123")
    story.take(0.0, Ended("0123", "sense", None, Verdict()))
    assert (story.is_over, story.is_worth_telling) == (True, False)


def test_remarks_are_bounded():
    """A gadget may remark on every line."""
    report = told(OPENED, *[Told("0123", Aside("warning", f"line {n}")) for n in range(100)])
    assert len(report["remarks"]) == MOST_REMARKS
    assert report["remarks"][-1].endswith("line 99")
