"""The MRD header that is published beside k-space, read field by field: not all of them are valid by MRD's schema."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import defusedxml.ElementTree
import h5py
import numpy as np
from defusedxml.common import DefusedXmlException

from gadgets.mrd import ismrmrd
from pipelines.files.datasets.volume import LONGEST_TEXT
from pipelines.files.finished_file import FileProblem

xsd = ismrmrd.xsd

NOT_XML = (defusedxml.ElementTree.ParseError, DefusedXmlException, ValueError, TypeError)


def parsed(path: Path, header: Any) -> Element:
    """Parse `ismrmrd_header`. Raises `FileProblem` if it is too long, and `NOT_XML` if it is none."""
    if not isinstance(header, h5py.Dataset) or header.size != 1 or header.dtype.itemsize > LONGEST_TEXT:
        raise FileProblem(f"{path}: ismrmrd_header is no text of at most {LONGEST_TEXT:,} bytes")
    return defusedxml.ElementTree.fromstring(np.ravel(header[()])[0], forbid_dtd=True)


def text_at(root: Element | None, *names: str) -> str | None:
    """Return the first text behind a path of element names, whatever their namespace; None if there is none."""
    if root is None:
        return None
    return (root.findtext("./" + "/".join(f"{{*}}{name}" for name in names)) or "").strip() or None


def number_at(root: Element | None, *names: str) -> float | None:
    """Return the finite number there, or None."""
    try:
        value = float(text_at(root, *names) or "nan")
    except ValueError:
        return None
    return value if np.isfinite(value) else None


def numbers_at(root: Element | None, *names: str, of: tuple[str, ...]) -> tuple[float, ...] | None:
    """Return several numbers of one element, or None if any of them is missing."""
    found = [number_at(root, *names, each) for each in of]
    return None if None in found else tuple(found)


def system(root: Element | None, n_coils: int) -> Any:
    """Return what is known of the scanner; H1 frequency 1 where that is not told, as MRD demands a number."""
    who = "acquisitionSystemInformation"
    field = number_at(root, who, "systemFieldStrength_T")
    frequency = number_at(root, "experimentalConditions", "H1resonanceFrequency_Hz")
    return {
        "acquisitionSystemInformation": xsd.acquisitionSystemInformationType(
            systemVendor=text_at(root, who, "systemVendor"), systemModel=text_at(root, who, "systemModel"),
            systemFieldStrength_T=field, receiverChannels=n_coils,
        ),
        "experimentalConditions": xsd.experimentalConditionsType(H1resonanceFrequency_Hz=int(frequency or 1)),
    }  # fmt: skip


def measurement(root: Element | None, protocol: str) -> Any:
    """Return the protocol's name and how the patient lay: head first, where that is not told and MRD demands it.

    It matters to nobody, for these files tell no directions.
    """
    told = text_at(root, "measurementInformation", "patientPosition")
    known = {each.value: each for each in xsd.patientPositionType}
    return xsd.measurementInformationType(
        patientPosition=known.get(told, xsd.patientPositionType.HFS), protocolName=protocol
    )


def timing(root: Element | None) -> Any:
    """Return the times and the flip angle that the header tells, or None."""
    told = {name: number_at(root, "sequenceParameters", name) for name in ("TR", "TE", "TI", "flipAngle_deg")}
    told = {name: [value] for name, value in told.items() if value is not None}
    return xsd.sequenceParametersType(**told) if told else None
