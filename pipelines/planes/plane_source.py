"""The planes to train on that a file holds, be it a raw file or a volume of a public data set, and whose they are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from gadgets.errors import PipelineError
from gadgets.items import TrainingPlane
from gadgets.recon.collect_planes import band_of
from gadgets.scan import ALONG_TRAJECTORIES, Scan
from pipelines.chain.pipeline import Pipeline, installed_xml
from pipelines.chain.pump import READ_AHEAD, pump
from pipelines.chain.run import run
from pipelines.chain.verdict import Verdict
from pipelines.files.datasets.layouts import is_dataset, open_volume
from pipelines.files.mrd_stream import Raw, open_raw
from pipelines.planes.volume_planes import volume_planes


@dataclass(frozen=True)
class PlaneSource:
    """Planes as they come, the patient's ID if the file has one, the subject by the file's name, the protocol.

    `band_acceleration` is that of the band which the scan is, or None; `source` where its lines come from, if they were
    not just measured.
    """

    planes: Iterator[TrainingPlane]
    patient: str | None
    file_subject: str
    protocol: str
    band_acceleration: float | None = None
    source: str | None = None


@contextmanager
def open_planes(path: Path, *, middle: int | None = None) -> Iterator[PlaneSource]:
    """Open a file of any known layout; `middle` slices of it, if given, else all.

    Raises `FileProblem` and `PipelineError`; iterating over the planes also raises `ScanError`.
    """
    if is_dataset(path):
        volume = open_volume(path)
        slices = tqdm(_middle(volume.n_slices, middle), desc=path.name, unit="slice", delay=0.5)
        planes = volume_planes(volume, slices)
        yield PlaneSource(planes, volume.patient, volume.file_subject, volume.protocol, source=volume.source)
    else:
        with open_raw(path) as raw:
            yield _of_scan(path, raw, Scan.from_xml(raw.header_xml), middle)


def _of_scan(path: Path, raw: Raw, scan: Scan, middle: int | None) -> PlaneSource:
    """Send a raw file through the gadgets that serve the scanner."""
    lines = tqdm(pump(raw, READ_AHEAD), total=len(raw), desc=path.name, unit="line", delay=0.5)
    chain = "prepare_radial" if scan.encodings[0].trajectory in ALONG_TRAJECTORIES else "prepare"
    planes = run(Pipeline.from_xml(installed_xml(chain)), scan, lines, Verdict())
    if middle is not None:
        slices, partitions = scan.encodings[0].counters["slice"], scan.encodings[0].encoded_matrix[2]
        if slices is None:
            raise PipelineError("the header does not tell how many slices there are, so there is no middle")
        wanted = _middle((slices.maximum + 1) * partitions, middle)
        planes = (plane for plane in planes if plane.slice in wanted)
    patient, measurement = scan.header.subjectInformation, scan.header.measurementInformation
    protocol = measurement and (measurement.protocolName or measurement.sequenceName)
    band = band_of(scan)
    return PlaneSource(
        planes, (patient and patient.patientID) or None, path.stem, protocol or "unknown", band and band[0],
        scan.encodings[0].source,
    )  # fmt: skip


def _middle(n_slices: int, wanted: int | None) -> range:
    if wanted is None or wanted >= n_slices:
        return range(n_slices)
    first = (n_slices - wanted) // 2
    return range(first, first + wanted)
