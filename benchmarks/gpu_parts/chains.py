"""How soon an image leaves the chain behind its last line, and how often the CPU waits for the GPU until then."""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Iterable, Iterator

import torch

from gadgets.mrd import ismrmrd
from gadgets.scan import Scan
from gpu_parts.here import Here
from gpu_parts.row import Row
from kband_core.metrics import nmse
from pipelines.chain.chain import with_properties
from pipelines.chain.pipeline import Pipeline, installed_xml
from pipelines.chain.run import run
from pipelines.chain.verdict import Verdict
from pipelines.chain.xml import read_chain
from pipelines.simulation.simulated_protocol import Protocol
from pipelines.simulation.simulated_scan import simulate_scan
from tests.gpu.every_method import TENSOR_CORES

TR = 5e-3  # s from line to line: calibration is done while they come
REPEATS = 5
SYNCHRONISING = "called a synchronizing CUDA operation"  # torch's words


def last_line_to_image(here: Here) -> Iterator[Row]:
    """Of the network, SENSE and GRAPPA, and whether pixels are the CPU's; the first scan warms up."""
    size, n_coils, names = (48, 4, ("sense",)) if here.small else (256, 16, ("kband", "sense", "grappa"))
    protocol = Protocol(matrix=size, n_coils=n_coils, n_slices=1, acceleration=3, acs_lines=24)
    xml, lines, _ = simulate_scan(protocol)
    scan = Scan.from_xml(xml)
    for name in names:
        what = f"{name}, {size}² × {n_coils}"
        on_gpu, image = _repeated(name, scan, lines, here)
        note = f"median of {len(on_gpu)}, least {min(on_gpu):.3g}; lines every {1e3 * TR:g} ms"
        if not here.is_gpu:
            yield Row(f"last line to image, {what}", statistics.median(on_gpu), aim=here.asked(20), note=note)
            continue
        on_cpu, reference = _repeated(name, scan, lines, Here(torch.device("cpu")))
        waits = f"the CPU waits {_waits(name, scan, lines, here.device)} times for the GPU"
        yield Row(f"last line to image, {what}", statistics.median(on_gpu), aim=here.asked(20),
                  cpu=statistics.median(on_cpu), note=f"{note}; {waits}")  # fmt: skip
        yield Row(f"chain {what}: difference to the CPU", float(nmse(image, reference)), unit="", aim=TENSOR_CORES)


def _repeated(name: str, scan: Scan, lines: list[ismrmrd.Acquisition], here: Here) -> tuple[list[float], torch.Tensor]:
    """Milliseconds of each scan but the first, and the image of the last."""
    times = []
    for _ in range(2 if here.small else 1 + REPEATS):
        verdict, image = _run(name, scan, lines if here.small else _paced(lines), here.device)
        times.append(1e3 * verdict.latency)
    return times[1:], image


def _waits(name: str, scan: Scan, lines: list[ismrmrd.Acquisition], device: torch.device) -> int:
    """How often torch says that the CPU waited, from the last line on."""

    def marked() -> Iterator[ismrmrd.Acquisition]:
        yield from lines[:-1]
        torch.cuda.set_sync_debug_mode("warn")
        yield lines[-1]

    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            _run(name, scan, marked(), device)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return sum(SYNCHRONISING in str(one.message) for one in said)


def _run(
    name: str, scan: Scan, lines: Iterable[ismrmrd.Acquisition], device: torch.device
) -> tuple[Verdict, torch.Tensor]:
    chain, verdict = read_chain(installed_xml(name)), Verdict()
    pipeline = Pipeline.from_chain(with_properties(chain, {"AcquisitionBuffer.device": str(device)}))
    images = list(run(pipeline, scan, lines, verdict))
    if verdict.flaw:
        raise ValueError(f"{name}: {verdict.flaw}")
    return verdict, torch.from_numpy(images[0].data.astype(float))


def _paced(lines: list[ismrmrd.Acquisition]) -> Iterator[ismrmrd.Acquisition]:
    started = time.perf_counter()
    for number, line in enumerate(lines, start=1):
        time.sleep(max(started + number * TR - time.perf_counter(), 0))
        yield line
