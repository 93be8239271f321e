"""Radial images in real time: how long after the last spoke of its window each one is there."""

from __future__ import annotations

import time
from collections.abc import Iterator
from statistics import median

import click
from measure import print_conditions, print_table

from gadgets.mrd import ismrmrd
from gadgets.scan import Scan
from pipelines.chain.chain import with_properties
from pipelines.chain.pipeline import Pipeline, installed_xml
from pipelines.chain.run import run
from pipelines.chain.verdict import Verdict
from pipelines.chain.xml import read_chain
from pipelines.simulation.simulated_header import TR_MS
from pipelines.simulation.simulated_protocol import Protocol
from pipelines.simulation.simulated_scan import simulate_scan

SPOKES, WINDOWS = 21, 12
FIRST = 2  # windows with which maps are made


@click.command()
@click.option("--matrix", type=int, default=128, show_default=True)
@click.option("--repeats", type=int, default=3, show_default=True)
@click.option("--device", default="cpu", show_default=True)
def main(matrix: int, repeats: int, device: str) -> None:
    """Send a golden-angle scan as fast as it is taken; a window's time is what its spokes take on the scanner."""
    protocol = Protocol(
        matrix=matrix, n_coils=16, n_slices=1, trajectory="golden", n_shots=SPOKES * WINDOWS, noise_scan=False
    )
    header, lines, _ = simulate_scan(protocol)
    print_conditions(
        f"16 coils compressed to 8, {matrix}², {SPOKES} spokes a window, {SPOKES} apart, TR {TR_MS:g} ms:\n"
        f"a window takes {SPOKES * TR_MS:g} ms. ms from its last spoke to the 16-bit image, as radial_realtime ships; "
        f"{repeats} runs."
    )
    runs = [list(_latencies(header, lines, device)) for _ in range(repeats + 1)][1:]
    rows = []
    for label, first, last in (("first", 0, 1), ("second", 1, FIRST), ("all others", FIRST, WINDOWS)):
        taken = [1000 * latency for one in runs for latency in one[first:last]]
        rows.append((label, f"{median(taken):.0f}", f"{max(taken):.0f}"))
    print_table(("window", "median, ms", "longest, ms"), rows)


def _latencies(header: str, lines: list[ismrmrd.Acquisition], device: str) -> Iterator[float]:
    sent = 0.0

    def scanner() -> Iterator[ismrmrd.Acquisition]:
        nonlocal sent
        for line in lines:
            sent = time.perf_counter()
            yield line

    chain = with_properties(read_chain(installed_xml("radial_realtime")), {"TrajectoryBuffer.device": device})
    for _ in run(Pipeline.from_chain(chain), Scan.from_xml(header), scanner(), Verdict()):
        yield time.perf_counter() - sent


if __name__ == "__main__":
    main()
