"""A tiny simulated scan, to push through a pipeline before a patient's goes through it."""

from __future__ import annotations

import time
from functools import cache

from gadgets.active.active_acquisition import ActiveAcquisition
from gadgets.gadget import Gadget
from gadgets.images.water_fat import WaterFat
from gadgets.items import TrainingPlane
from gadgets.mrd import ismrmrd
from gadgets.receiving.multiband_buffer import MultibandBuffer
from gadgets.receiving.trajectory_buffer import TrajectoryBuffer
from gadgets.scan import Scan
from kband_core.plural import counted, plural
from pipelines.chain.pipeline import Pipeline
from pipelines.chain.run import run
from pipelines.chain.verdict import Verdict
from pipelines.simulation.simulated_echoes import Echoes, simulate_echoes
from pipelines.simulation.simulated_multiband import Excitation, simulate_multiband
from pipelines.simulation.simulated_protocol import Protocol
from pipelines.simulation.simulated_scan import simulate_scan

TINY = Protocol(matrix=64, n_coils=4, n_slices=1, acceleration=4)  # R=1.9 with its ACS lines: models have seen it
TINY_OF_ALL_LINES = Protocol(matrix=64, n_coils=4, n_slices=1, acceleration=1)  # of which some are chosen
TINY_MULTIBAND = Protocol(matrix=64, n_coils=4, n_slices=2, acceleration=1)
TINY_RADIAL = Protocol(matrix=64, n_coils=4, n_slices=1, trajectory="radial", n_shots=34)
THREE_ECHOES = Echoes((1.1, 2.0, 3.2))


def dry_run(xml: str | bytes) -> tuple[str | None, str]:
    """Run the tiny scan through a pipeline; return what is wrong with the result, or None, and what came in what time.

    A fallback is wrong here: this scan has all that a pipeline needs. Planes to train on are as good as images.
    """
    verdict, started, problem, n_planes = Verdict(), time.perf_counter(), None, 0
    try:
        pipeline = Pipeline.from_xml(xml)
        header, lines = _tiny_scan({type(gadget) for gadget in pipeline.gadgets})
        started = time.perf_counter()
        for item in run(pipeline, Scan.from_xml(header), lines, verdict):
            n_planes += isinstance(item, TrainingPlane)
    except Exception as error:  # noqa: BLE001 - whatever it is, the other pipelines are looked at as well
        problem = " ".join(str(error).split()) or type(error).__name__
    milliseconds = 1000 * (time.perf_counter() - started)
    n, what = (n_planes, "plane") if n_planes else (verdict.n_images, "image")
    result = f"{n} {plural(n, what)} of {counted(verdict.n_lines, 'line')} in {milliseconds:.0f} ms"
    return problem or (None if n_planes else verdict.flaw), result


def _tiny_scan(gadgets: set[type[Gadget]]) -> tuple[str, list[ismrmrd.Acquisition]]:
    """Header and lines of a scan that these gadgets are for."""
    if MultibandBuffer in gadgets:
        return _simulated(TINY_MULTIBAND, Excitation(2, 2))
    if ActiveAcquisition in gadgets:
        return _simulated(TINY_OF_ALL_LINES, None)
    protocol = TINY_RADIAL if TrajectoryBuffer in gadgets else TINY
    return _simulated(protocol, THREE_ECHOES if WaterFat in gadgets else None)


@cache
def _simulated(protocol: Protocol, special: Excitation | Echoes | None) -> tuple[str, list[ismrmrd.Acquisition]]:
    if isinstance(special, Echoes):
        return simulate_echoes(protocol, special)[:2]
    return (simulate_multiband(protocol, special) if special else simulate_scan(protocol))[:2]
