"""Small scans of every kind, through installed chains on a device, and what the host waits for behind the last line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import cache

import numpy as np

from gadgets.receiving.acquisition_buffer import AcquisitionBuffer
from gadgets.receiving.buffer_intake import BufferIntake
from gadgets.receiving.trajectory_buffer import TrajectoryBuffer
from gadgets.scan import Scan
from pipelines.chain.chain import with_properties
from pipelines.chain.pipeline import Pipeline, installed_xml
from pipelines.chain.run import run
from pipelines.chain.verdict import Verdict
from pipelines.chain.xml import read_chain
from pipelines.simulation.epi_protocol import EchoTrain
from pipelines.simulation.simulated_epi import simulate_epi
from pipelines.simulation.simulated_protocol import Protocol
from pipelines.simulation.simulated_scan import simulate_scan
from pipelines.simulation.slab import Slab
from tests.pretend_gpu.device import WAITS

CHOOSE_THE_DEVICE = {gadget.__name__ for gadget in (AcquisitionBuffer, BufferIntake, TrajectoryBuffer)}
HEAD = {"matrix": 64, "n_coils": 6, "n_slices": 1, "acs_lines": 20, "snr": 200.0}


@cache
def scanned(kind: str) -> tuple[Scan, tuple]:
    """Header and lines of a scan."""
    if kind == "epi":
        header, lines, _ = simulate_epi(Protocol(**HEAD, acceleration=2, calibration="separate"), EchoTrain())
    else:
        header, lines, _ = simulate_scan({
            "lines": Protocol(**HEAD, acceleration=2),
            "many coils": Protocol(**{**HEAD, "n_coils": 16}, acceleration=2),
            "one side": Protocol(**HEAD, acceleration=2, partial_fourier=0.75, partial_echo=0.75),
            "held out": Protocol(**HEAD, acceleration=2, held_out_lines=8),
            "noisy": Protocol(**{**HEAD, "snr": 15.0}, acceleration=2),
            "spike": Protocol(**HEAD, acceleration=2),
            "slab": Protocol(**{**HEAD, "acs_lines": 16}, acceleration=2, slab=Slab(n_partitions=24, acceleration=2)),
            "radial": Protocol(**HEAD, trajectory="radial", n_shots=32),
        }[kind])  # fmt: skip
    if kind == "spike":
        lines = list(lines)
        lines[-3].data[0, 20] = 1e3 * abs(lines[-3].data).max()
    return Scan.from_xml(header), tuple(lines)


def images(chain: str, kind: str, device: str) -> tuple[list[np.ndarray], list[dict[str, str]], Counter[str]]:
    """Pixels, what is said of them, and where the host waited for the device from the last line on."""
    (scan, lines), read = scanned(kind), read_chain(installed_xml(chain))
    names = CHOOSE_THE_DEVICE & {node.classname for node in read.nodes}
    told = {f"{name}.device": device for name in names}
    if any(node.classname == "RakiRecon" for node in read.nodes):
        told["RakiRecon.gfactor"] = "false"
    pipeline = Pipeline.from_chain(with_properties(read, told))

    def marked() -> Iterator:
        yield from lines[:-1]
        WAITS.clear()
        yield lines[-1]

    made = list(run(pipeline, scan, marked(), Verdict()))
    return [image.data for image in made], [dict(image.meta) for image in made], Counter(WAITS)
