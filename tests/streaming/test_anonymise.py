"""Headers on disk tell what was measured, not on whom."""

import base64

import ismrmrd
import pytest

from gadgets.scan import Scan
from pipelines.hosts.anonymise import anonymised
from pipelines.hosts.journal import Journal

ENCODED = base64.b64encode(b"<id>PAT-4711</id>").decode()
SECRETS = ["Müller^Eva", "PAT-4711", "1953-07-21", "71.5", "2026-01-31", "STUDY-99", "Dr^Acula", "1.2.840.4",
           "Kantonsspital", "SN-31415", "Nurse Ward", ENCODED]  # fmt: skip
KEPT = ["HFS", "t1 ", "HEAD", "tune-up", "simulation", "<value>20</value>"]
SUBJECT = """<subjectInformation><patientName>Müller^Eva</patientName><patientWeight_kg>71.5</patientWeight_kg>
<patientID>PAT-4711</patientID><patientBirthdate>1953-07-21</patientBirthdate></subjectInformation>
<studyInformation><studyDate>2026-01-31</studyDate><studyID>STUDY-99</studyID>
<referringPhysicianName>Dr^Acula</referringPhysicianName><studyInstanceUID>1.2.840.4</studyInstanceUID>
<bodyPartExamined>HEAD</bodyPartExamined></studyInformation><!-- Müller^Eva -->"""
SYSTEM = """<institutionName>Kantonsspital</institutionName><deviceSerialNumber>SN-31415</deviceSerialNumber>"""
PARAMETERS = "".join(
    f"<{kind}><name>{name}</name><value>{value}</value></{kind}>"
    for kind, name, value in (
        ("userParameterString", "operatorName", "Nurse Ward"),
        ("userParameterString", "note", "for Müller^Eva"),
        ("userParameterString", "shim", "tune-up"),
        ("userParameterBase64", "protocol", ENCODED),
    )
)


@pytest.fixture
def header(scan) -> str:
    """The simulated scan's header, with a patient in all places."""
    text = (
        scan[0].replace('"ascii"', '"utf-8"').replace(" <measurementInformation>", f"{SUBJECT}<measurementInformation>")
    )
    text = text.replace("<patientPosition>", "<seriesDate>2026-01-31</seriesDate><patientPosition>")
    text = text.replace("simulated_head", "t1 Müller^Eva")
    text = text.replace("<relativeReceiver", f"{SYSTEM}<relativeReceiver").replace(
        "</userParameters>", f"{PARAMETERS}</userParameters>"
    )
    assert all(word in text for word in (*SECRETS, *KEPT))
    ismrmrd.xsd.CreateFromDocument(text)
    return text


def test_nothing_on_disk_names_the_patient(header, tmp_path):
    """Neither in the journal nor beside it; what reconstruction reads is as before."""
    journal = Journal.begin(tmp_path, "a", header)
    journal.end({"pipeline": "sense"})
    written = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert [word for word in SECRETS if word.encode() in written] == []
    assert [word for word in KEPT if word.encode() not in written] == []
    before, after = Scan.from_xml(header), Scan.from_xml(anonymised(header))
    assert before.encodings == after.encodings
    assert before.noise_bandwidth == after.noise_bandwidth
    assert before.header.measurementInformation.measurementID == after.header.measurementInformation.measurementID
    assert before.header.acquisitionSystemInformation.coilLabel == after.header.acquisitionSystemInformation.coilLabel


def test_a_patient_may_be_wanted(header, tmp_path):
    """Then the header stands as it came."""
    journal = Journal.begin(tmp_path, "a", header, anonymise=False)
    assert header.encode() in journal.path.read_bytes()


def test_header_outside_the_schema_keeps_the_rest():
    """No name space, elements nobody knows, prefixes."""
    text = '<h xmlns:a="urn:a"><patientName>Eva</patientName><a:patientID>7</a:patientID><x y="1">2</x></h>'
    assert anonymised(text) == '<h><x y="1">2</x></h>'


@pytest.mark.parametrize("text", ["Dummy XML", "", "<a>" * 100000, "name: Eva, born 1953-07-21"])
def test_of_what_is_no_header_nothing_stays(text, caplog):
    """Clients may send a dummy, or anything; nobody knows what it tells, and neither may the log."""
    assert anonymised(text) == ""
    assert "stored are known numbers alone" in caplog.text
    assert "Eva" not in caplog.text


def test_of_a_torn_header_known_numbers_stay():
    """A header that ends too early, or quotes what is not defined, still has a name in it."""
    torn = """<ismrmrdHeader Eva="1"><m:patientName xml:lang='de'>Eva</m:patientName><note>Eva 7</note>&Eva;
<encoding><trajectory>cartesian</trajectory><matrixSize><x> 64 </x><y>Eva</y>Eva<z>1"""
    kept = "<ismrmrdHeader><encoding><trajectory>cartesian</trajectory><matrixSize><x>64</x><y></y><z>1"
    assert anonymised(torn) == kept


def test_what_quotes_an_entity_is_not_quoted_in_the_log(caplog):
    """The XML library repeats what it does not understand."""
    anonymised("<ismrmrdHeader>&Eva19530721;</ismrmrdHeader>")
    anonymised('<!DOCTYPE h [<!ENTITY Eva19530721 "x">]><h>&Eva19530721;</h>')
    assert "no XML" in caplog.text
    assert "Eva19530721" not in caplog.text
