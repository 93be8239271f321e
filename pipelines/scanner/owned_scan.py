"""A fully sampled raw file, as a scanner that can measure any of its lines."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gadgets.active.feedback import ROWS, WAVEFORM_ID
from gadgets.encoding import Encoding
from gadgets.errors import PipelineError
from gadgets.flags import is_never_image, is_noise
from gadgets.mrd import ismrmrd
from gadgets.receiving.image_lines import ImageKey
from gadgets.receiving.place import place_of
from gadgets.scan import Scan, require_cartesian
from pipelines.files.mrd_file import RawFile
from pipelines.simulation.header_document import header_document

xsd = ismrmrd.xsd
LOOPS = (
    ismrmrd.ACQ_FIRST_IN_ENCODE_STEP1, ismrmrd.ACQ_LAST_IN_ENCODE_STEP1, ismrmrd.ACQ_FIRST_IN_AVERAGE,
    ismrmrd.ACQ_LAST_IN_AVERAGE, ismrmrd.ACQ_FIRST_IN_SLICE, ismrmrd.ACQ_LAST_IN_SLICE,
    ismrmrd.ACQ_FIRST_IN_REPETITION, ismrmrd.ACQ_LAST_IN_REPETITION, ismrmrd.ACQ_LAST_IN_MEASUREMENT,
)  # fmt: skip


@dataclass(frozen=True)
class OwnedScan:
    """All lines of a scan: those of noise, and by image and matrix row. The header declares the feedback."""

    header_xml: str
    encoding: Encoding
    noise: list[ismrmrd.Acquisition]
    images: dict[ImageKey, dict[int, ismrmrd.Acquisition]]

    @classmethod
    def read(cls, path: Path) -> OwnedScan:
        """Read a raw file. Raises `FileProblem`, or `PipelineError` if a line of an image is missing, or comes twice.
        """
        with RawFile(path) as raw:
            scan, lines = Scan.from_xml(raw.header_xml), list(raw)
        require_cartesian(scan, path.name)
        encoding = scan.encodings[0]
        if encoding.total_acceleration > 1 or len(scan.encodings) > 1 or encoding.encoded_matrix[2] > 1:
            raise PipelineError(f"{path.name}: single slices in one encoding at R=1 expected: it must own all lines")
        images: dict[ImageKey, dict[int, ismrmrd.Acquisition]] = {}
        for line in lines:
            if is_never_image(line):
                continue
            rows, row = images.setdefault(ImageKey.of(line), {}), place_of(encoding, line).row
            if row in rows:
                raise PipelineError(f"{path.name}: row {row} comes twice; one average expected")
            rows[row] = line
        wanted = {encoding.row(step) for step in range(encoding.step1.minimum, encoding.step1.maximum + 1)}
        for key, rows in images.items():
            if lacking := sorted(wanted - rows.keys()):
                raise PipelineError(f"{path.name}: {key} lacks {len(lacking)} lines, the first is row {lacking[0]}")
        if not images:
            raise PipelineError(f"{path.name}: no line of an image")
        noise = [line for line in lines if is_noise(line)]
        return cls(_with_feedback(scan), encoding, noise, dict(sorted(images.items())))


def renumbered(line: ismrmrd.Acquisition, scan_counter: int) -> ismrmrd.Acquisition:
    """Return a line as it is measured now: numbered, and first or last of no loop, whose end nobody knows."""
    header = line.getHead()
    header.scan_counter = scan_counter
    measured = ismrmrd.Acquisition(header, line.data, line.traj)
    for flag in LOOPS:
        measured.clear_flag(flag)
    return measured


def _with_feedback(scan: Scan) -> str:
    """Declare the waveform in the header: its number, and what its rows are."""
    numbers = [xsd.userParameterLongType(name="waveform_id", value=WAVEFORM_ID)]
    rows = [xsd.userParameterStringType(name=f"row_{n}", value=name) for n, name in enumerate(ROWS)]
    scan.header.waveformInformation.append(
        xsd.waveformInformationType(
            waveformName="kband_feedback", waveformType=xsd.waveformInformationTypeWaveformType.OTHER,
            userParameters=xsd.userParametersType(userParameterLong=numbers, userParameterString=rows),
        )
    )  # fmt: skip
    return header_document(scan.header)
