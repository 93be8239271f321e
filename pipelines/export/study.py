"""What an MRD header says of patient, study and scanner, as DICOM attributes."""

from __future__ import annotations

import re
import uuid
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import UID

from gadgets.scan import Scan

# MRD element → DICOM attribute
SUBJECT = {"patientName": "PatientName", "patientID": "PatientID", "patientBirthdate": "PatientBirthDate",
           "patientGender": "PatientSex", "patientWeight_kg": "PatientWeight"}  # fmt: skip
STUDY = {"studyDate": "StudyDate", "studyTime": "StudyTime", "studyID": "StudyID", "accessionNumber": "AccessionNumber",
         "referringPhysicianName": "ReferringPhysicianName", "studyDescription": "StudyDescription",
         "bodyPartExamined": "BodyPartExamined"}  # fmt: skip
MEASUREMENT = {"patientPosition": "PatientPosition", "protocolName": "ProtocolName", "seriesDate": "SeriesDate",
               "seriesTime": "SeriesTime"}  # fmt: skip
SYSTEM = {"systemVendor": "Manufacturer", "systemModel": "ManufacturerModelName",
          "systemFieldStrength_T": "MagneticFieldStrength", "institutionName": "InstitutionName",
          "stationName": "StationName", "deviceSerialNumber": "DeviceSerialNumber"}  # fmt: skip
EXPECTED = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID",
            "AccessionNumber", "ReferringPhysicianName", "Manufacturer", "PatientPosition")  # must be there, if empty
SEXES = ("M", "F", "O")
WORD = 16  # characters of a code string


def identifier(*texts: str) -> UID:
    """Return a UID that the same texts always give: a name-based UUID below 2.25 (DICOM PS3.5, B.2)."""
    return UID(f"2.25.{uuid.uuid5(uuid.NAMESPACE_URL, chr(0).join(texts)).int}")


def study_attributes(scan: Scan) -> Dataset:
    """Return what all images of a scan have in common; of the patient only what the header has."""
    found, header = Dataset(), scan.header
    for keyword in EXPECTED:
        setattr(found, keyword, "")
    for section, names in ((header.subjectInformation, SUBJECT), (header.studyInformation, STUDY),
                           (header.measurementInformation, MEASUREMENT),
                           (header.acquisitionSystemInformation, SYSTEM)):  # fmt: skip
        for name, keyword in names.items():
            value = getattr(section, name, None)
            if value is not None and (text := _text(keyword, value)):
                setattr(found, keyword, text)
    if "BodyPartExamined" not in found:  # which may be one of two
        found.Laterality = ""
    study, measurement = header.studyInformation, header.measurementInformation
    found.StudyInstanceUID = _given(study, "studyInstanceUID") or identifier("study", scan.xml)
    found.FrameOfReferenceUID = _given(measurement, "frameOfReferenceUID") or identifier("frame", scan.xml)
    found.PositionReferenceIndicator = ""
    conditions = header.experimentalConditions
    if conditions and conditions.H1resonanceFrequency_Hz:
        found.ImagingFrequency = f"{conditions.H1resonanceFrequency_Hz / 1e6:.6f}"
    return found


def sequence_attributes(scan: Scan, contrast: int) -> Dataset:
    """Return what the header says of the sequence, at the echo of a `contrast`; what it does not say stays empty."""
    found, said = Dataset(), scan.header.sequenceParameters
    kind = str(getattr(said, "sequence_type", None) or "").lower()
    found.ScanningSequence = _scanning_sequence(kind, scan.encodings[0].trajectory)
    found.SequenceVariant, found.ScanOptions = "NONE", ""
    found.MRAcquisitionType = "3D" if scan.encodings[0].encoded_matrix[2] > 1 else "2D"
    for keyword, name, index in (("EchoTime", "TE", contrast), ("RepetitionTime", "TR", 0),
                                 ("InversionTime", "TI", 0), ("FlipAngle", "flipAngle_deg", 0)):  # fmt: skip
        values = list(getattr(said, name, None) or [])
        if values:
            setattr(found, keyword, f"{float(values[min(index, len(values) - 1)]):.10g}")
        elif keyword in ("EchoTime", "RepetitionTime"):
            setattr(found, keyword, None)
    found.EchoTrainLength = None
    found.EchoNumbers = contrast + 1
    return found


def _scanning_sequence(kind: str, trajectory: str) -> str:
    """The nearest of DICOM's five; research mode where the header does not say."""
    if trajectory == "epi" or "epi" in kind:
        return "EP"
    if "inversion" in kind or re.search(r"\bir\b", kind):
        return "IR"
    if re.search(r"flash|gre|gradient|spgr|ssfp|fisp", kind):
        return "GR"
    return "SE" if re.search(r"spin|tse|fse|\bse\b", kind) else "RM"


def _text(keyword: str, value: Any) -> str:
    """A value in the form that DICOM wants; '' if it cannot have it."""
    text = str(getattr(value, "value", value)).strip()
    if keyword.endswith("Date"):
        digits = text.replace("-", "")
        return digits if re.fullmatch(r"\d{8}", digits) else ""
    if keyword.endswith("Time"):
        digits = re.match(r"(\d{2}):?(\d{2}):?(\d{2})(\.\d{1,6})?", text)
        return "".join(part or "" for part in digits.groups()) if digits else ""
    if keyword == "PatientSex":
        return text if text in SEXES else ""
    if keyword in ("PatientWeight", "MagneticFieldStrength"):
        return f"{float(text):.10g}"
    if keyword in ("StudyID", "AccessionNumber", "StationName"):
        return text[:WORD]
    if keyword == "BodyPartExamined":
        return re.sub(r"[^A-Z0-9_ ]", "", text.upper())[:WORD]
    return text[:64]


def _given(section: Any, name: str) -> UID | None:
    uid = UID(str(getattr(section, name, None) or ""))
    return uid if uid and uid.is_valid else None
