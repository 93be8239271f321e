"""The MRD header as the gadgets need it: encodings, limits, calibration mode, checked once."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import defusedxml.ElementTree
import ismrmrd.xsd
import numpy as np
from defusedxml.common import DefusedXmlException
from xsdata.exceptions import ParserError as XsdataError

from gadgets.errors import PipelineError, ScanError

log = logging.getLogger(__name__)

COUNTERS = ("average", "slice", "contrast", "phase", "repetition", "set")
LARGEST_MATRIX = (8192, 4096, 2048)  # x, y, z: bounds what a header can make us allocate
LARGEST_COUNTER = 65535
NOISE_BANDWIDTH = 0.793  # the share of the noise band that the receiver passes, where the header does not say
NOT_A_HEADER = (defusedxml.ElementTree.ParseError, XsdataError, ValueError, TypeError, AttributeError, LookupError)


@dataclass(frozen=True)
class Limit:
    """Range of one counter; `center` is the value at the k-space centre for the two encoding steps."""

    minimum: int
    maximum: int
    center: int

    def __len__(self) -> int:
        return self.maximum - self.minimum + 1


@dataclass(frozen=True)
class Encoding:
    """One encoding space. Matrices are (x, y, z) = (readout, step 1, step 2); fields of view in mm, same order."""

    index: int
    trajectory: str
    encoded_matrix: tuple[int, int, int]
    encoded_fov: tuple[float, float, float]
    recon_matrix: tuple[int, int, int]
    recon_fov: tuple[float, float, float]
    step1: Limit
    step2: Limit
    counters: dict[str, Limit | None]  # None where the header does not say
    acceleration: tuple[int, int]
    calibration_mode: str | None
    multiband: int

    @property
    def readout_samples(self) -> int:
        """Samples along the readout without its oversampling; counted in single precision, as Gadgetron does."""
        return int(self.encoded_matrix[0] / (np.float32(self.encoded_fov[0]) / np.float32(self.recon_fov[0])))

    @property
    def is_embedded(self) -> bool:
        """Whether calibration lines are the image's as well."""
        return self.calibration_mode in ("embedded", "interleaved")

    @property
    def is_interleaved(self) -> bool:
        """Whether repetitions calibrate one another, their grids shifting by a line from one to the next."""
        return self.acceleration[0] > 1 and self.calibration_mode == "interleaved"

    @property
    def n_averages(self) -> int:
        """How often each line comes, as the header announces it."""
        average = self.counters["average"]
        return len(average) if average else 1

    def row(self, step1: int) -> int:
        """Row of the k-space matrix that encoding step 1 fills: the centre line stands at N//2."""
        return step1 + self.encoded_matrix[1] // 2 - self.step1.center

    def partition(self, step2: int) -> int:
        """Like `row`, for encoding step 2."""
        return step2 + self.encoded_matrix[2] // 2 - self.step2.center

    @property
    def partitions(self) -> slice:
        """Partitions of the k-space matrix that the header lets expect."""
        first = self.partition(self.step2.minimum)
        return slice(max(first, 0), first + len(self.step2))

    def expected_rows(self, acquired: np.ndarray, ends_seen: bool) -> np.ndarray | None:
        """Tell which rows a complete image has, or None where the header cannot tell.

        `acquired`: bool (ky,), rows that hold imaging lines so far. At R=1 all rows within the limits are expected; at
        R>1 those of the grid on which the acquired rows lie. Lines off the grid mean irregular sampling: None. Where
        the scanner has marked both ends of the line loop (`ends_seen`), the grid ends where the acquired rows end.
        """
        limit = self.step1
        inside = np.zeros(self.encoded_matrix[1], bool)
        inside[max(self.row(limit.minimum), 0) : self.row(limit.maximum) + 1] = True
        acceleration = self.acceleration[0]
        if acceleration == 1:
            return inside
        rows = np.flatnonzero(acquired)
        if rows.size == 0 or np.any((rows - rows[0]) % acceleration):
            return None
        grid = np.zeros_like(inside)
        grid[rows[0] % acceleration :: acceleration] = True
        if ends_seen:
            inside[: rows[0]] = inside[rows[-1] + 1 :] = False
        return grid & inside


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
        text = xml.decode("utf-8", errors="replace") if isinstance(xml, bytes) else xml
        text = text.rstrip("\0")
        try:
            defusedxml.ElementTree.fromstring(text.encode(), forbid_dtd=True)
            header = ismrmrd.xsd.CreateFromDocument(text)
            encodings = tuple(_encoding(index, encoding) for index, encoding in enumerate(header.encoding))
            system = header.acquisitionSystemInformation
            bandwidth = system.relativeReceiverNoiseBandwidth if system else None
            bandwidth = NOISE_BANDWIDTH if bandwidth is None else float(bandwidth)
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

    def encoding(self, index: int) -> Encoding:
        """Return the encoding a line refers to. Raises `ScanError` if the header has no such encoding."""
        if not self.has_encoding(index):
            raise ScanError(f"a line names encoding {index}, the header has {len(self.encodings)}")
        return self.encodings[index]


def require_cartesian(scan: Scan, who: str) -> None:
    """Raise `PipelineError` unless every encoding is a Cartesian one that 2-D methods can reconstruct."""
    for encoding in scan.encodings:
        if encoding.trajectory != "cartesian":
            raise PipelineError(
                f"{who}: encoding {encoding.index} has the trajectory {encoding.trajectory}; "
                "only cartesian is supported"
            )
        if encoding.acceleration[1] > 1:
            raise PipelineError(
                f"{who}: encoding {encoding.index} is accelerated {encoding.acceleration[1]}-fold along encoding "
                "step 2; only step 1 is supported"
            )
        if encoding.multiband > 1:
            raise PipelineError(
                f"{who}: encoding {encoding.index} excites {encoding.multiband} slices at once; only 1 is supported"
            )


def _encoding(index: int, encoding: Any) -> Encoding:
    limits = encoding.encodingLimits
    encoded, recon = encoding.encodedSpace, encoding.reconSpace
    matrix = _matrix(encoded, f"encoding {index}: encoded matrix")
    parallel = encoding.parallelImaging
    factor = parallel.accelerationFactor if parallel else None
    mode = parallel.calibrationMode if parallel else None
    acceleration = (factor.kspace_encoding_step_1, factor.kspace_encoding_step_2) if factor else (1, 1)
    for along, size in zip(acceleration, matrix[1:], strict=True):
        if not 1 <= along <= size:
            raise ValueError(f"encoding {index}: acceleration {along}, expected 1 to {size}")
    return Encoding(
        index=index,
        trajectory=encoding.trajectory.value,
        encoded_matrix=matrix,
        encoded_fov=_fov(encoded, f"encoding {index}: encoded field of view"),
        recon_matrix=_matrix(recon, f"encoding {index}: recon matrix"),
        recon_fov=_fov(recon, f"encoding {index}: recon field of view"),
        step1=_step_limit(limits, "kspace_encoding_step_1", matrix[1], index),
        step2=_step_limit(limits, "kspace_encoding_step_2", matrix[2], index),
        counters={name: _limit(getattr(limits, name, None), f"encoding {index}: {name}") for name in COUNTERS},
        acceleration=acceleration,
        calibration_mode=mode.value if mode else None,
        multiband=_multiband(parallel),
    )


def _multiband(parallel: Any) -> int:
    multiband = getattr(parallel, "multiband", None)
    return multiband.multiband_factor if multiband else 1


def _step_limit(limits: Any, name: str, size: int, index: int) -> Limit:
    limit = _limit(getattr(limits, name, None), f"encoding {index}: {name}")
    if limit is None and size > 1:
        log.warning("MRD header: encoding %d has no limits for %s; 0 to %d assumed", index, name, size - 1)
    return limit or Limit(0, size - 1, size // 2)


def _limit(given: Any, what: str) -> Limit | None:
    if given is None:
        return None
    limit = Limit(given.minimum or 0, given.maximum or 0, given.center or 0)
    if not 0 <= limit.minimum <= limit.maximum <= LARGEST_COUNTER:
        raise ValueError(f"{what} runs from {limit.minimum} to {limit.maximum}, expected 0 to {LARGEST_COUNTER}")
    return limit


def _matrix(space: Any, what: str) -> tuple[int, int, int]:
    size = space.matrixSize
    matrix = (size.x, size.y, size.z)
    if any(not 1 <= n <= most for n, most in zip(matrix, LARGEST_MATRIX, strict=True)):
        raise ValueError(f"{what} is {matrix}, expected 1 to {LARGEST_MATRIX}")
    return matrix


def _fov(space: Any, what: str) -> tuple[float, float, float]:
    size = space.fieldOfView_mm
    fov = (size.x, size.y, size.z)
    if any(not 0 < length < 1e5 for length in fov):
        raise ValueError(f"{what} is {fov} mm, expected positive lengths")
    return fov
