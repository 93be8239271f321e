"""The MRD header as the gadgets need it: encodings, limits, calibration mode, checked once."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Any

import defusedxml.ElementTree
import ismrmrd.xsd
from defusedxml.common import DefusedXmlException
from xsdata.exceptions import ConverterWarning
from xsdata.exceptions import ParserError as XsdataError

from gadgets.encoding import SOURCE, Encoding
from gadgets.errors import PipelineError, ScanError
from gadgets.mrd_header import header_text, number, read_encoding

ALONG_TRAJECTORIES = ("radial", "goldenangle", "spiral", "other")
NOISE_BANDWIDTH = 0.793  # the share of the noise band that the receiver passes, where the header does not say
NOT_A_HEADER = (defusedxml.ElementTree.ParseError, XsdataError, ValueError, TypeError, AttributeError, LookupError)


@dataclass(frozen=True)
class Scan:
    """What the header says of this scan. `header` is the parsed MRD header, `xml` its text as received."""

    xml: str
    header: Any
    encodings: tuple[Encoding, ...]
    noise_bandwidth: float

    @classmethod
    def from_xml(cls, xml: bytes | str) -> Scan:
        """Read an MRD header. Raises `PipelineError` if it is not one, or if a number is out of range."""
        try:
            text = header_text(xml)
            defusedxml.ElementTree.fromstring(text.encode(), forbid_dtd=True)
            with warnings.catch_warnings():  # of values of a wrong type, which it shows: the patient's birth date, too
                warnings.simplefilter("ignore", ConverterWarning)
                header = ismrmrd.xsd.CreateFromDocument(text)
            encodings = tuple(
                replace(read_encoding(index, encoding), source=_source(header))
                for index, encoding in enumerate(header.encoding)
            )
            system = header.acquisitionSystemInformation
            bandwidth = system.relativeReceiverNoiseBandwidth if system else None
            bandwidth = NOISE_BANDWIDTH if bandwidth is None else number(bandwidth, "relativeReceiverNoiseBandwidth")
        except DefusedXmlException as error:
            raise PipelineError("MRD header: document types and entities are not accepted") from error
        except NOT_A_HEADER as error:
            raise PipelineError(f"MRD header: not a valid ismrmrdHeader document ({error})") from error
        if not encodings:
            raise PipelineError("MRD header: 0 encodings, at least 1 expected")
        return cls(text, header, encodings, bandwidth)

    def has_encoding(self, index: int) -> bool:
        """Whether a line that refers to this encoding can be placed; the buffers set others aside."""
        return index < len(self.encodings)

    def announces_step1(self, index: int) -> bool:
        """Whether the header sets limits of encoding step 1: else nobody knows how many shots there will be."""
        return getattr(self.header.encoding[index].encodingLimits, "kspace_encoding_step_1", None) is not None

    def encoding(self, index: int) -> Encoding:
        """Return the encoding a line refers to. Raises `ScanError` if the header has no such encoding."""
        if not self.has_encoding(index):
            raise ScanError(f"a line names encoding {index}, the header has {len(self.encodings)}")
        return self.encodings[index]


def _source(header: Any) -> str | None:
    given = header.userParameters.userParameterString if header.userParameters else ()
    return next((str(each.value) for each in given if each.name == SOURCE), None)


def on_encoded_grid(scan: Scan) -> Scan:
    """Return a scan whose images along trajectories are made on its encoded field of view, the larger one of x and y.

    A spoke is oversampled along all of itself, so what is beside the field of view that is shown folds onto nothing.
    """
    encodings = []
    for encoding in scan.encodings:
        fovs = zip(encoding.encoded_fov[:2], encoding.recon_fov[:2], strict=True)
        factor = max(1.0, *(encoded / shown for encoded, shown in fovs))
        grid = round(factor * encoding.recon_matrix[1]), round(factor * encoding.recon_matrix[0])
        encodings.append(replace(encoding, grid=grid))
    return replace(scan, encodings=tuple(encodings))


def require_trajectory(scan: Scan, who: str) -> None:
    """Raise `PipelineError` unless every encoding samples single slices, or stacks of whole partitions, along a
    trajectory."""
    for encoding in scan.encodings:
        if encoding.trajectory not in ALONG_TRAJECTORIES:
            raise PipelineError(
                f"{who}: encoding {encoding.index} has the trajectory {encoding.trajectory}; "
                f"{', '.join(ALONG_TRAJECTORIES)} expected"
            )
        n_z, n_steps = encoding.encoded_matrix[2], len(encoding.step2)
        before, after = encoding.step2.center - encoding.step2.minimum, encoding.step2.maximum - encoding.step2.center
        if n_steps > 1 and (n_steps > n_z or abs(before - after) > 1 or encoding.accelerates_partitions):
            raise PipelineError(
                f"{who}: encoding {encoding.index} has {n_steps} steps along kz for {n_z} partitions, {before} before "
                f"the centre, at R={encoding.acceleration[1]}; a stack of stars needs all of both sides"
            )
    require_single_bands(scan, who)


def require_cartesian(scan: Scan, who: str) -> None:
    """Raise `PipelineError` unless every encoding is a Cartesian one of single bands."""
    for encoding in scan.encodings:
        if encoding.trajectory == "epi":
            raise PipelineError(
                f"{who}: encoding {encoding.index} has the trajectory epi; EpiLines must stand before, as in "
                "epi_sense, epi_grappa and epi_kband"
            )
        if encoding.trajectory != "cartesian":
            raise PipelineError(
                f"{who}: encoding {encoding.index} has the trajectory {encoding.trajectory}; "
                "only cartesian is supported"
            )
    require_single_bands(scan, who)


def require_single_bands(scan: Scan, who: str) -> None:
    """Raise `PipelineError` if an encoding excites several slices at once."""
    for encoding in scan.encodings:
        if encoding.multiband > 1:
            raise PipelineError(
                f"{who}: encoding {encoding.index} excites {encoding.multiband} slices at once, which only "
                "multiband_sense tells apart (MultibandBuffer, MultibandSenseRecon)"
            )
