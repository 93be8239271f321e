"""MRD headers without the patient: what names a person is taken out, what describes the measurement stays."""

from __future__ import annotations

import base64
import binascii
import logging
import re
from xml.etree import ElementTree

import defusedxml.ElementTree
from defusedxml.common import DefusedXmlException

from gadgets.mrd_header import header_text
from pipelines.hosts.header_structure import is_structure, structure_of
from pipelines.hosts.telltales import ANY_DATE, Telltales

log = logging.getLogger(__name__)

ElementTree.register_namespace("", "http://www.ismrm.org/ISMRMRD")  # else every tag gets a made-up prefix

NAMES = re.compile(r"(?:other)?patientnames?|\w*physician\w*|operators?name")
IDS = re.compile(
    "(?:other)?patientids?|studyid|accessionnumber|studyinstanceuid|seriesinstanceuidroot|frameofreferenceuid"
    "|referencedsopinstanceuid"
)
DATES = re.compile("patientbirth(?:date|day)?|dateofbirth")
CIRCUMSTANCES = re.compile(
    "subjectinformation|(?:other)?patient(?!position).*|study(?:date|time|description)|series(?:date|time|description)"
    "|referencedimagesequence|institution.*|station(?:name)?|device(?:id|serialnumber)"
)
IDENTIFYING_PARAMETER = re.compile(
    "patient.?(name|id|birth|age|sex|weight|height|address)|birth|physician|operator|insurance|phone|gender"
    "|(?<![a-z])(dob|mrn)(?![a-z])", re.I
)  # fmt: skip
DECLARATION = re.compile(r"^\s*<\?xml[^>]*\?>")  # its encoding is no longer true


def anonymised(header_xml: str) -> str:
    """Return an MRD header without what tells who was measured, when and where.

    Elements and attributes go that the basic profile of DICOM removes. Geometry, protocol and sequence name, patient
    position and measurement id stay; parts of the patient's and the physician's names, of numbers and of the birth date
    are cut out of every text that is not one of the schema's own numbers and words, and user parameters that hold any,
    or a date, go. Of a text that is no XML only those numbers and words stay.

    DICOM PS3.15, table E.1-1.
    """
    try:
        root = defusedxml.ElementTree.fromstring(DECLARATION.sub("", header_text(header_xml)).encode())
        telltales = _remove_identifying(root)
        _remove_parameters(root, telltales)
        for element in root.iter():
            _cut(element, telltales)
        return ElementTree.tostring(root, encoding="unicode")
    except (ElementTree.ParseError, DefusedXmlException, ValueError, LookupError, RecursionError) as error:
        kind = type(error).__name__  # its text may quote the header
        log.warning("MRD header: no XML (%s); stored are known numbers alone", kind)
        return structure_of(header_xml)


def _remove_identifying(root: ElementTree.Element) -> Telltales:
    """Remove identifying elements and attributes; return what they told of a person."""
    told: list[tuple[str, str]] = []
    for parent in list(root.iter()):
        for key in [key for key in parent.attrib if _is_identifying(_local(key))]:
            told.append((_local(key), parent.attrib.pop(key)))
        for child in [child for child in parent if _is_identifying(_name(child))]:
            told += [(_name(each), each.text or "") for each in child.iter()]
            told += [(_local(key), value) for each in child.iter() for key, value in each.attrib.items()]
            parent.remove(child)
    return Telltales(*([text for name, text in told if kind.fullmatch(name.lower())] for kind in (NAMES, DATES, IDS)))


def _is_identifying(name: str) -> bool:
    return any(kind.fullmatch(name.lower()) for kind in (NAMES, DATES, IDS, CIRCUMSTANCES))


def _remove_parameters(root: ElementTree.Element, telltales: Telltales) -> None:
    """Remove user parameters whose name or value tells, and elements whose own name does."""
    for parent in list(root.iter()):
        for child in list(parent):
            is_parameter = _name(child).lower().startswith("userparameter")
            if telltales.are_in(_name(child)) or (is_parameter and _tells(child, telltales)):
                parent.remove(child)


def _tells(parameter: ElementTree.Element, telltales: Telltales) -> bool:
    texts = {_name(each).lower(): (each.text or "").strip() for each in parameter}
    name, value = texts.get("name", ""), texts.get("value", "")
    if IDENTIFYING_PARAMETER.search(name) or telltales.are_in(name) or ANY_DATE.search(name):
        return True
    match _name(parameter).lower():
        case "userparameterlong" | "userparameterdouble":
            number = value.removesuffix(".0")
            return telltales.are_number(value) or ANY_DATE.fullmatch(number) is not None
        case "userparameterbase64":
            return any(telltales.are_in(text) for text in (value, *_decoded(value)))
    return telltales.are_in(value) or ANY_DATE.search(value) is not None


def _cut(element: ElementTree.Element, telltales: Telltales) -> None:
    """Cut what tells out of an element's text and attributes; what stands behind it is nothing of MRD's."""
    name, text = _name(element), element.text or ""
    if text.strip() and not is_structure(name, text):
        text = telltales.cut(text)
        element.text = text if name == "measurementID" else ANY_DATE.sub("", text)
    if (element.tail or "").strip():
        element.tail = None
    for key, value in list(element.attrib.items()):
        if any(telltales.are_in(part) or ANY_DATE.search(part) for part in (_local(key), value)):
            del element.attrib[key]


def _decoded(value: str) -> list[str]:
    try:
        raw = base64.b64decode(value)
    except (binascii.Error, ValueError):
        return []
    return [raw.decode(encoding, errors="replace") for encoding in ("utf-8", "latin-1", "utf-16-le")]


def _name(element: ElementTree.Element) -> str:
    return _local(str(element.tag))


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]
