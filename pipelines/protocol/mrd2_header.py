"""A header of MRD 2 as one of MRD 1: both schemas name the same things, but for capitals and underscores."""

from __future__ import annotations

import base64
import dataclasses
import datetime
import typing
from enum import Enum
from typing import Any

import mrd
import numpy as np
from xsdata.models.datatype import XmlDate, XmlTime

from gadgets.mrd import ismrmrd
from pipelines.simulation.header_document import header_document

ONLY_MRD_2 = (mrd.CalibrationMode.NOACCELERATION,)  # in MRD 1 nothing says so
DAY = datetime.datetime(2000, 1, 1)


def header_xml(header: mrd.Header) -> str:
    """Return the MRD 1 header that says the same. Raises `ValueError` for a value that MRD does not know."""
    return header_document(_counterpart(header, ismrmrd.xsd.ismrmrdHeader))


def _counterpart(record: Any, kind: type) -> Any:
    fields = {_bare(field.name): field.name for field in dataclasses.fields(kind)}
    kinds = {name: _kind_of(hint) for name, hint in typing.get_type_hints(kind).items()}
    given = {name: value for name, value in vars(record).items() if value is not None and value != []}
    if unknown := [name for name in given if _bare(name) not in fields]:
        raise ValueError(f"{unknown[0]} has no place in the MRD 1 header of the installed ismrmrd")
    return kind(**{(target := fields[_bare(name)]): _value(value, kinds[target]) for name, value in given.items()})


def _value(value: Any, kind: type) -> Any:
    if isinstance(value, list):
        return [_value(each, kind) for each in value]
    if isinstance(value, Enum):
        return _word(value, kind)
    if isinstance(value, mrd.yardl_types.Time):
        return XmlTime.from_time((DAY + datetime.timedelta(microseconds=value.numpy_value.astype(int) / 1000)).time())
    if isinstance(value, datetime.date):
        return XmlDate.from_date(value)
    if kind is bytes:
        return base64.b64decode(value)
    if isinstance(value, float):
        return _shortest(value)
    return _counterpart(value, kind) if dataclasses.is_dataclass(kind) else value


def _word(value: Enum, kind: type) -> Any:
    if value in ONLY_MRD_2:
        return None
    if kind is str:
        return value.name
    words = {_bare(str(word.value)): word for word in kind}
    if _bare(value.name) not in words:
        raise ValueError(f"{value} is unknown; {', '.join(words)} expected")
    return words[_bare(value.name)]


def _shortest(value: float) -> float:
    """Return 0.793 for what 32 bits made 0.7929999828: so the number is that of the header it was converted from."""
    single = np.float32(value)
    return float(str(single)) if single == value else value


def _kind_of(hint: Any) -> type:
    """What a field holds: of an optional one, or of a list, one item."""
    while inner := [each for each in typing.get_args(hint) if each is not type(None)]:
        hint = inner[0]
    return hint


def _bare(name: str) -> str:
    return name.replace("_", "").lower()
