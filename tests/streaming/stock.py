"""What Gadgetron's stock gadgets hand to a module: lines ready for buffering, and ReconData as BucketToBuffer fills it.

The buffers follow the stock gadget's source, with N = average, S = none, slices split and segments ignored.
"""

from __future__ import annotations

import io
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator

import ismrmrd
import ismrmrd.xsd
import numpy as np
from gadgetron.types.recon_data import ReconBit, ReconBuffer, ReconData, SamplingDescription, write_recon_data

from gadgets.items import ImageArray
from gadgets.scan import Scan
from gadgets.stock.accumulate import AcquisitionAccumulateTrigger
from pipelines.chain.pipeline import Pipeline, installed_xml
from pipelines.chain.run import run
from pipelines.chain.verdict import Verdict

BEFORE = "<configuration>" + "".join(
    f"<gadget><dll>gadgetron_mricore</dll><classname>{name}</classname></gadget>"
    for name in ("NoiseAdjustGadget", "AsymmetricEchoAdjustROGadget", "RemoveROOversamplingGadget")
) + "</configuration>"  # fmt: skip


NOTHING = ReconBuffer(np.zeros(0, np.complex64), None, None, np.empty(0, object), SamplingDescription())


def inner_configuration(name: str) -> str:
    """The `<configuration>` that Gadgetron sends to the module of an installed pipeline, verbatim."""
    return re.search(r"<configuration>\s*<gadget>.*?</configuration>", installed_xml(name), re.DOTALL)[0]


def prepared(header: str, lines: Iterable[ismrmrd.Acquisition]) -> list[ismrmrd.Acquisition]:
    """Lines as they reach the module: whitened, without oversampling."""
    return list(run(Pipeline.from_xml(BEFORE), Scan.from_xml(header), lines, Verdict()))


def images_of(configuration: str, header: str, items: Iterable) -> list[ImageArray]:
    """Run a chain in this process."""
    return list(run(Pipeline.from_xml(configuration), Scan.from_xml(header), items, Verdict()))


def recon_data(header: str, lines: Iterable[ismrmrd.Acquisition]) -> Iterator[bytes]:
    """ReconData messages of a scan, one per slice and repetition."""
    encodings = ismrmrd.xsd.CreateFromDocument(header).encoding
    accumulate = AcquisitionAccumulateTrigger(trigger_dimension="repetition", sorting_dimension="slice")
    for bucket in accumulate.process(lines):
        groups: dict[tuple[int, ...], tuple[list, list]] = defaultdict(lambda: ([], []))
        for number, of_bucket in enumerate((bucket.data, bucket.ref)):
            for line in of_bucket:
                index = line.idx
                key = (line.encoding_space_ref, index.slice, index.contrast, index.phase, index.repetition, index.set)
                groups[key][number].append(line)
        for key in sorted(groups):
            data, ref = groups[key]
            encoding = encodings[key[0]]
            buffers = _buffer(data, encoding, False) if data else NOTHING, _buffer(ref, encoding, True) if ref else None
            yield message(ReconData([ReconBit(*buffers)]))


def message(data: ReconData) -> bytes:
    """A message by Gadgetron's own writer."""
    sink = io.BytesIO()
    write_recon_data(sink, data)
    return sink.getvalue()


def _buffer(lines: list[ismrmrd.Acquisition], encoding, is_reference: bool) -> ReconBuffer:
    """Fill [E0 E1 E2 CHA N S LOC]; what never came is zero, its header blank."""
    parallel, limits, matrix = encoding.parallelImaging, encoding.encodingLimits, encoding.encodedSpace.matrixSize
    step1, first = limits.kspace_encoding_step_1, lines[0]
    mode = parallel.calibrationMode.value if parallel and parallel.calibrationMode else None
    is_compact = is_reference and mode in ("separate", "external")
    steps = [line.idx.kspace_encode_step_1 for line in lines]
    averages = [line.idx.average for line in lines]
    discarded = 0 if parallel else first.discard_pre + first.discard_post
    n_rows = step1.maximum - step1.minimum + 1 if not parallel else matrix.y
    n_rows = max(steps) - min(steps) + 1 if is_compact else n_rows
    n_averages = max(averages) - min(averages) + 1
    shape = (first.number_of_samples - discarded, n_rows, 1, first.active_channels, n_averages, 1, 1)
    data, headers = np.zeros(shape, np.complex64, order="F"), np.empty((n_rows, 1, n_averages, 1, 1), object)
    for index in np.ndindex(headers.shape):
        headers[index] = ismrmrd.AcquisitionHeader()
    for line in lines:
        row = line.idx.kspace_encode_step_1
        if is_compact:
            row -= min(steps)
        elif not is_reference or mode == "embedded":
            row += matrix.y // 2 - step1.center
        if row >= n_rows:
            continue  # "inside the encoding limits, but outside the encoded matrix": a warning in the server's log
        before, after = line.discard_pre, line.number_of_samples - line.discard_post
        start = before if shape[0] == line.number_of_samples else line.number_of_samples // 2 - line.center_sample
        n = min(line.idx.average, n_averages - 1)
        data[start : start + after - before, row, 0, :, n, 0, 0] = line.data[:, before:after].T
        headers[row, 0, n, 0, 0] = line.getHead()
    return ReconBuffer(data, None, None, headers, SamplingDescription())
