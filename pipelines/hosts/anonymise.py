"""MRD headers without the patient: what names a person is taken out, what describes the measurement stays."""

from __future__ import annotations

import base64
import binascii
import logging
import re
from xml.etree import ElementTree

import defusedxml.ElementTree
from defusedxml.common import DefusedXmlException

log = logging.getLogger(__name__)

ElementTree.register_namespace("", "http://www.ismrm.org/ISMRMRD")  # else every tag gets a made-up prefix

PERSON = (
    "patientName", "patientID", "patientBirthdate", "studyID", "accessionNumber", "referringPhysicianName",
    "studyInstanceUID", "seriesInstanceUIDRoot", "frameOfReferenceUID", "referencedSOPInstanceUID",
)  # fmt: skip
CIRCUMSTANCES = (
    "subjectInformation", "patientWeight_kg", "patientHeight_m", "patientGender",
    "studyDate", "studyTime", "studyDescription", "seriesDate", "seriesTime", "seriesDescription",
    "referencedImageSequence", "institutionName", "stationName", "deviceID", "deviceSerialNumber",
)  # fmt: skip
IDENTIFYING = frozenset((*PERSON, *CIRCUMSTANCES))
IDENTIFYING_PARAMETER = re.compile("patient.?(name|id|birth|age|sex|weight|address)|birth|physician|operator", re.I)
TEXT_OF_IDENTIFYING = re.compile(rf"(<(?:[\w.-]+:)?(?:{'|'.join(sorted(IDENTIFYING))})\b[^>]*>)[^<]+")
DECLARATION = re.compile(r"^\s*<\?xml[^>]*\?>")  # its encoding is no longer true
SHORTEST_TELLTALE = 4  # characters; "1" as a patient's id says nothing when it is met elsewhere


def anonymised(header_xml: str) -> str:
    """Return an MRD header without the elements that tell who was measured, when and where.

    They are those that the basic profile of DICOM removes. Geometry, protocol and sequence name, patient position and
    measurement id stay. User parameters go if their name or their value tells, and a name that stands in any other
    text is cut out. Of a text that is no XML nothing is lost but the texts of such elements.

    DICOM PS3.15, table E.1-1.
    """
    try:
        root = defusedxml.ElementTree.fromstring(DECLARATION.sub("", header_xml).encode())
        telltales = _remove_identifying(root)
        _remove_parameters(root, telltales)
        _blank(root, {text for text in telltales if not text.isdigit()})  # digits may as well be a matrix size
        return ElementTree.tostring(root, encoding="unicode")
    except (ElementTree.ParseError, DefusedXmlException, ValueError, LookupError, RecursionError) as error:
        log.warning("MRD header: no XML (%s); stored as it is, but for texts between identifying tags", error)
        return TEXT_OF_IDENTIFYING.sub(r"\1", header_xml)


def _remove_identifying(root: ElementTree.Element) -> set[str]:
    """Remove identifying elements; return the texts of those that name a person."""
    telltales: set[str] = set()
    for parent in list(root.iter()):
        for child in [child for child in parent if _name(child) in IDENTIFYING]:
            texts = {(each.text or "").strip() for each in child.iter() if _name(each) in PERSON}
            telltales |= {text for text in texts if len(text) >= SHORTEST_TELLTALE}
            parent.remove(child)
    return telltales


def _remove_parameters(root: ElementTree.Element, telltales: set[str]) -> None:
    for parent in list(root.iter()):
        for parameter in [child for child in parent if _name(child).startswith("userParameter")]:
            texts = {_name(each): (each.text or "").strip() for each in parameter}
            value = texts.get("value", "")
            if _name(parameter) == "userParameterBase64":
                value += _decoded(value)
            is_named = IDENTIFYING_PARAMETER.search(texts.get("name", ""))
            if is_named or any(telltale in value for telltale in telltales):
                parent.remove(parameter)


def _blank(root: ElementTree.Element, telltales: set[str]) -> None:
    for element in root.iter():
        for telltale in telltales:
            element.text = (element.text or "").replace(telltale, "")


def _decoded(value: str) -> str:
    try:
        return base64.b64decode(value).decode(errors="replace")
    except (binascii.Error, ValueError):
        return ""


def _name(element: ElementTree.Element) -> str:
    return str(element.tag).rpartition("}")[2]
