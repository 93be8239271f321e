"""No part of a patient's name, number or birth date survives, however and wherever a header repeats it."""

import base64
import re
import unicodedata

import pytest

from pipelines.hosts.anonymise import anonymised

BIRTH = "1953-07-21"
PATIENTS = {
    "umlaut": ("Müller^Eva Maria", "PAT-4711", ["muller", "mueller", "eva", "maria", "4711"]),
    "apostrophe": ("O'Brien^Seán", "00471199", ["brien", "sean", "471199"]),
    "nordic": ("Sørensen^Åse", "A1B2C3", ["sorensen", "ase", "a1b2c3"]),
    "sharp s": ("Weiß^Jörg", "W8815", ["weiss", "jorg", "joerg", "8815"]),
    "ideographs": ("YAMADA^TAROU=山田^太郎", "881523", ["yamada", "tarou", "山田", "太郎", "881523"]),
    "particles": ("van der Berg^Anna^^Dr", "MRN 5512-99", ["berg", "anna", "5512"]),
}
WAYS = {
    "as it is": lambda name, number: f"{name} {number}",
    "capitals": lambda name, number: f"{name} {number}".upper(),
    "small letters": lambda name, number: f"{name} {number}".lower(),
    "other order": lambda name, number: f"{number}_{'_'.join(reversed(re.findall(r'[^^ =]+', name)))}",
    "one word": lambda name, number: "t1" + re.sub(r"\W", "", name.title()) + re.sub(r"\W", "", number) + "ax",
    "without accents": lambda name, number: f"t2-{_plain(name)}-{number}",
    "composed of pieces": lambda name, number: unicodedata.normalize("NFD", f"{name}/{number}"),
    "umlauts spelt out": lambda name, number: name.replace("ü", "ue").replace("ö", "oe").replace("ß", "ss") + number,
}
PLACES = {
    "protocol": "<measurementInformation><protocolName>t1 {}</protocolName></measurementInformation>",
    "sequence": "<measurementInformation><sequenceName>{}_gre</sequenceName></measurementInformation>",
    "measurement": "<measurementInformation><measurementID>{}_2</measurementID></measurementInformation>",
    "coil": "<coilLabel><coilNumber>1</coilNumber><coilName>{}</coilName></coilLabel>",
    "unknown": "<note>for {}</note>",
    "attribute": '<note to="{}">x</note>',
    "tail": "<note>x</note>{}",
    "comment": "<!-- {} --><?for {}?>",
    "number": "<encoding><x>{}</x></encoding>",
    "value": "<userParameterString><name>shim</name><value>{}</value></userParameterString>",
    "parameter": "<userParameterLong><name>{}</name><value>1</value></userParameterLong>",
    "base64": "<userParameterBase64><name>protocol</name><value>base64</value></userParameterBase64>",
}
HEADER = """<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD"><subjectInformation><patientName>{}</patientName>
<patientID>{}</patientID><patientBirthdate>1953-07-21</patientBirthdate></subjectInformation>{}<userParameters>{}
</userParameters><encoding><trajectory>cartesian</trajectory><x>1953</x></encoding></ismrmrdHeader>"""


def _plain(text: str) -> str:
    parts = unicodedata.normalize("NFD", text.casefold().replace("ø", "o"))
    return "".join(letter for letter in parts if not unicodedata.combining(letter))


def written(patient: str, place: str, said: str) -> str:
    """What is kept of a header that says something of a patient at a place."""
    name, number, _ = PATIENTS[patient]
    inner = PLACES[place].replace("{}", said)
    if place == "base64":
        inner = inner.replace(">base64<", f">{base64.b64encode(said.encode()).decode()}<")
    parts = ("", inner) if "userParameter" in inner else (inner, "")
    return anonymised(HEADER.format(name, number, *parts))


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("patient", PATIENTS)
def test_no_telltale_survives(patient, place):
    """Every way to write name and number; all else is still a header."""
    name, number, telltales = PATIENTS[patient]
    for way, write in WAYS.items():
        kept = written(patient, place, write(name, number))
        assert [word for word in telltales if word in _plain(kept)] == [], way
        assert "<trajectory>cartesian</trajectory><x>1953</x>" in kept


DAYS = ("1953-07-21", "19530721", "21.07.1953", "7/21/1953", "21/7/53", "530721", "210753", "072153", "21 Jul 1953",
        "July 21, 1953", "21-JUL-53", "1953_07_21", "b1953-7-21x", "1953")  # fmt: skip


@pytest.mark.parametrize("place", [place for place in PLACES if place != "number"])
def test_no_birth_date_survives(place):
    """However the day is written."""
    for day in DAYS:
        kept = written("umlaut", place, day).replace("<x>1953</x>", "")
        assert day not in kept, day


@pytest.mark.parametrize("kind", ["Long", "Double", "long"])
@pytest.mark.parametrize("value", ["19530721", "530721", "1953", "4711", "004711", "4711.0", "4.711e3", "20260131"])
def test_numbers_that_tell_go_with_their_parameters(kind, value):
    """The patient's number, birth date, or any other day."""
    parameter = f"<userParameter{kind}><name>a</name><value>{value}</value></userParameter{kind}>"
    assert "<name>a</name>" not in anonymised(HEADER.format("Müller^Eva", "4711", "", parameter))


@pytest.mark.parametrize("value", ["47", "64", "471", "0.4711", "123456", "22.5"])
def test_other_numbers_stay(value):
    """Angles of bands, and what a scanner needs."""
    parameter = f"<userParameterDouble><name>band_angle</name><value>{value}</value></userParameterDouble>"
    assert "band_angle" in anonymised(HEADER.format("Müller^Eva", "4711", "", parameter))


@pytest.mark.parametrize("header", [
    "<h><PATIENTNAME>Eva Kranz</PATIENTNAME><note>kranz</note></h>",
    '<h><subject patientName="Eva Kranz"/><note>kranz</note></h>',
    "<h><subjectInformation><x>Eva</x><PatientName>Kranz</PatientName></subjectInformation><note>Kranz</note></h>",
    '<h><patientName first="Eva">Kranz</patientName><Kranz>7</Kranz></h>',
    "<h><referringPhysicianName>Eva Kranz</referringPhysicianName><note>Dr. Kranz</note></h>",
])  # fmt: skip
def test_elements_are_known_in_any_capitals_and_as_attributes(header):
    """Writers of headers do not all read the schema."""
    assert "kranz" not in anonymised(header).lower()


def test_short_names_are_cut_as_words_alone():
    """Li is a name; in a slice it is none."""
    kept = anonymised("<h><patientName>Li^Bo</patientName><note>Li_Bo slice line LI</note></h>")
    assert kept == "<h><note>_ slice line </note></h>"


def test_a_header_of_names_alone_takes_no_time():
    """Nobody has a thousand names; what claims so is kept by its numbers alone."""
    names = " ".join(f"n{chr(97 + n % 26)}{chr(97 + n // 26 % 26)}{chr(97 + n // 676)}" for n in range(5000))
    assert anonymised(f"<h><patientName>{names}</patientName><x>5</x><note>naaa</note></h>") == "<x>5</x>"


def test_nobody_has_a_name_of_a_page():
    """Patterns of it would stop the server; the header is kept by its numbers alone."""
    assert anonymised(f"<h><patientName>{'a' * 5000}</patientName><x>5</x><note>a</note></h>") == "<x>5</x>"


def test_of_a_text_that_tells_in_layers_nothing_stays():
    """Whoever cuts one by one cuts for ever: a name is in the middle, and again when that has gone."""
    layers = "mei" * 20 + "er" * 20
    assert anonymised(f"<h><patientName>Meier</patientName><note>{layers} x</note></h>") == "<h><note /></h>"
