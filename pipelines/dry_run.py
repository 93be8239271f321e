"""A tiny simulated scan, to push through a pipeline before a patient's goes through it."""

from __future__ import annotations

import time
from functools import cache

import ismrmrd

from gadgets.scan import Scan
from pipelines.pipeline import Pipeline
from pipelines.run import Verdict, run
from pipelines.simulated_protocol import Protocol
from pipelines.simulated_scan import simulate_scan

TINY = Protocol(matrix=32, n_coils=4, n_slices=1, acceleration=2)


def dry_run(xml: str | bytes) -> tuple[str | None, str]:
    """Run the tiny scan through a pipeline; return what is wrong with the result, or None, and what came in what time.

    A fallback is wrong here: this scan has all that a pipeline needs.
    """
    verdict, started, problem = Verdict(), time.perf_counter(), None
    try:
        header, lines = _tiny_scan()
        started = time.perf_counter()
        for _ in run(Pipeline.from_xml(xml), Scan.from_xml(header), lines, verdict):
            pass
    except Exception as error:  # noqa: BLE001 - whatever it is, the other pipelines are looked at as well
        problem = " ".join(str(error).split()) or type(error).__name__
    milliseconds = 1000 * (time.perf_counter() - started)
    images = f"{verdict.n_images} image{'s' * (verdict.n_images != 1)}"
    return problem or verdict.flaw, f"{images} of {verdict.n_lines} lines in {milliseconds:.0f} ms"


@cache
def _tiny_scan() -> tuple[str, list[ismrmrd.Acquisition]]:
    return simulate_scan(TINY)[:2]
