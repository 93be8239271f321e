"""Time from the last line to the image through the chain, against the bare reconstruction of the same k-space."""

from __future__ import annotations

import dataclasses
import functools
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
import ismrmrd
import torch
from check_costs import CheckCosts, Spent, print_checks
from measure import print_conditions, print_table

from gadgets.coils.coil_sensitivities import CoilSensitivities
from gadgets.gadget import Gadget
from gadgets.items import Calibration, ReconBuffer
from gadgets.receiving.acquisition_buffer import AcquisitionBuffer
from gadgets.recon.grappa import Grappa
from gadgets.recon.kband_recon import KBandRecon
from gadgets.recon.raki import Raki
from gadgets.recon.raki_recon import RakiRecon
from gadgets.recon.sense import Sense
from gadgets.scan import Scan
from kband_core.grappa import apply_grappa
from kband_core.models import load_model
from kband_core.raki.network import apply_raki
from kband_core.reconstruct import network, sense, zero_filled
from pipelines.chain.pipeline import Pipeline, installed_xml
from pipelines.chain.pump import READ_AHEAD, pump
from pipelines.chain.run import run
from pipelines.chain.verdict import Verdict
from pipelines.files.mrd_file import RawFile, write_raw
from pipelines.simulation.simulated_protocol import Protocol
from pipelines.simulation.simulated_scan import simulate_scan

PIPELINES = ("sense", "sense_buffered", "grappa", "grappa_buffered")
ALL = (*PIPELINES, "raki", "raki_buffered", "kband", "kband_buffered")
AIM = 1.2
CHECK_COSTS = CheckCosts()


@dataclass
class Timeline:
    """Moments of one run on `time.perf_counter`, the buffer that was reconstructed, each gadget's last item, and what
    checks took."""

    last_line: float = 0.0
    calibration_sent: float | None = None
    maps_ready: float | None = None
    prepared: float | None = None
    image: float = 0.0
    buffer: ReconBuffer | None = None
    left: dict[str, float] = field(default_factory=dict)
    checks: dict[str, Spent] = field(default_factory=dict)

    def watch(self, gadget: Gadget) -> None:
        """Note when items leave `gadget`, and when the gadgets behind it are done with a calibration."""
        process, name = gadget.process, gadget.label()

        def watched(items: Iterable[Any]) -> Iterator[Any]:
            for item in process(items):
                self.left[name] = time.perf_counter()
                self._note(gadget, item)
                yield item
                if isinstance(item, Calibration) and isinstance(gadget, AcquisitionBuffer):
                    self.prepared = time.perf_counter()

        gadget.process = watched

    def _note(self, gadget: Gadget, item: Any) -> None:
        is_calibration = isinstance(item, Calibration)
        if isinstance(gadget, CoilSensitivities):
            self.maps_ready = self.maps_ready or self.left[gadget.label()]
            self.buffer = self.buffer if is_calibration else item
        elif isinstance(gadget, AcquisitionBuffer) and is_calibration:
            self.calibration_sent = self.left[gadget.label()]

    def arriving(self, lines: Iterable[ismrmrd.Acquisition]) -> Iterator[ismrmrd.Acquisition]:
        """Note when the last line came, be the chain ready for it or not."""
        for line in lines:
            self.last_line = time.perf_counter()
            CHECK_COSTS.now()
            yield line

    def ms(self, moment: float | None) -> float:
        """Milliseconds from the last line to a moment; nan if it never came."""
        return float("nan") if moment is None else 1000 * (moment - self.last_line)


def paced(lines: Iterable[ismrmrd.Acquisition], tr_ms: float) -> Iterator[ismrmrd.Acquisition]:
    """Hand out line n at n TR, as the scanner does."""
    start = time.perf_counter()
    for number, line in enumerate(lines, start=1):
        time.sleep(max(start + number * tr_ms / 1000 - time.perf_counter(), 0))
        yield line


@click.command()
@click.option("--tr", "tr_ms", default=5.0, show_default=True, help="Time between lines in ms.")
@click.option("--pipeline", "pipelines", multiple=True, default=PIPELINES, type=click.Choice(ALL), show_default=True,
              help="Several may be given; raki fits for a second or more, so --tr 80 shows it done in time.")
@click.option("--model", default=KBandRecon().model, show_default=True, help="Of the registry, for kband.")
@click.option("--repeats", default=9, show_default=True)
@click.option("--threads", default=2, show_default=True, help="Threads torch computes with.")
def main(tr_ms: float, pipelines: tuple[str, ...], model: str, repeats: int, threads: int) -> None:
    """Run each pipeline in turns with its bare reconstruction, `repeats` times after one to warm up."""
    torch.set_num_threads(threads)
    protocol = Protocol(matrix=256, n_coils=16, n_slices=1, acceleration=3, acs_lines=24)
    xml, acquisitions, _ = simulate_scan(protocol)
    print_conditions(
        f"simulated head, 256 × 256, 16 coils compressed to 12, R=3, 24 embedded ACS lines, readout oversampling 2, "
        f"{len(acquisitions)} lines with noise; CPU\nmedians of {repeats} runs, in brackets the least; "
        f"'paced': one line every {tr_ms:g} ms; times in ms, those of the timeline relative to the last line"
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scan.h5"
        write_raw(path, xml, acquisitions)
        feeds: dict[str, Callable[[Timeline], Iterable]] = {
            "file": functools.partial(_from_file, path=path),
            "paced": lambda timeline: timeline.arriving(paced(acquisitions, tr_ms)),
        }
        results = {(name, feed): [] for name in pipelines for feed in feeds}
        for repeat in range(repeats + 1):
            for (name, feed), runs in results.items():
                timeline = _replayed(name, model, Scan.from_xml(xml), feeds[feed])
                bare = _bare_ms(name, model, timeline)
                if repeat:
                    runs.append((timeline, bare))
    _print_latencies(results)
    _print_timelines(results)
    as_scanned = {name: runs for (name, feed), runs in results.items() if feed == "paced"}
    _print_gadgets(as_scanned)
    print_checks({name: [timeline.checks for timeline, _ in runs] for name, runs in as_scanned.items()})
    above = [f"{name}, {feed}" for (name, feed), runs in results.items() if _ratio(runs) > AIM]
    click.echo(f"ratio above {AIM}: {'; '.join(above) or 'none'}")


def _from_file(timeline: Timeline, path: Path) -> Iterator[ismrmrd.Acquisition]:
    with RawFile(path) as raw:
        yield from timeline.arriving(raw)


def _replayed(name: str, model: str, scan: Scan, feed: Callable[[Timeline], Iterable]) -> Timeline:
    timeline, verdict, pipeline = Timeline(), Verdict(), Pipeline.from_xml(installed_xml(name))
    for gadget in pipeline.gadgets:
        if isinstance(gadget, KBandRecon):
            gadget.model = model
        if isinstance(gadget, RakiRecon):
            gadget.gfactor = False  # maps follow the images
        timeline.watch(gadget)
    for _ in run(pipeline, scan, pump(feed(timeline), READ_AHEAD), verdict):
        timeline.image = time.perf_counter()
    if flaw := verdict.flaw:
        raise click.ClickException(f"{name}: {flaw}")
    timeline.checks = CHECK_COSTS.spent()
    return timeline


def _bare_ms(name: str, model: str, timeline: Timeline) -> float:
    """Time the reconstruction alone, on the k-space and maps that the run used, kernel ready."""
    kspace, sampling = timeline.buffer.planes()
    csm = timeline.buffer.csm[0]
    if name.startswith("sense"):
        bare = functools.partial(sense, kspace, sampling, csm, **dataclasses.asdict(Sense()))
    elif name.startswith("kband"):
        bare = functools.partial(network, kspace, sampling, csm, load_model(model, kspace.device))
    else:
        encoding, matrix = timeline.buffer.encoding, tuple(kspace.shape[-2:])
        method, fill = (Grappa(), apply_grappa) if name.startswith("grappa") else (Raki(), apply_raki)
        (fit,) = method.fit(timeline.buffer.acs, encoding, matrix)
        bare = lambda: zero_filled(fill(fit, kspace, sampling), csm)  # noqa: E731
    start = time.perf_counter()
    bare()
    return 1000 * (time.perf_counter() - start)


def _ratio(runs: list[tuple[Timeline, float]]) -> float:
    return statistics.median(t.ms(t.image) for t, _ in runs) / statistics.median(bare for _, bare in runs)


def _print_latencies(results: dict[tuple[str, str], list]) -> None:
    rows = []
    for (name, feed), runs in results.items():
        latencies, bares = [t.ms(t.image) for t, _ in runs], [bare for _, bare in runs]
        rows.append((name, feed, *(f"{statistics.median(v):.1f} ({min(v):.1f})" for v in (latencies, bares)),
                     f"{_ratio(runs):.2f}", f"{min(latencies) / min(bares):.2f}"))  # fmt: skip
    print_table(("pipeline", "lines from", "last line to image", "bare call", "ratio of medians", "of the least"), rows)


def _print_timelines(results: dict[tuple[str, str], list]) -> None:
    moments = ("calibration_sent", "maps_ready", "prepared", "image")
    rows = []
    for (name, feed), runs in results.items():
        medians = [statistics.median(t.ms(getattr(t, moment)) for t, _ in runs) for moment in moments]
        rows.append((name, feed, *("-" if ms != ms else f"{ms:+.1f}" for ms in medians)))
    print_table(("pipeline", "lines from", "calibration sent", "maps ready", "calibrated", "image left"), rows)


def _print_gadgets(results: dict[str, list[tuple[Timeline, float]]]) -> None:
    click.echo("ms that each gadget adds from the last line to the image, paced; the first has the lines still waiting")
    steps = {name: [_steps(timeline) for timeline, _ in runs] for name, runs in results.items()}
    gadgets = list(dict.fromkeys(gadget for runs in steps.values() for gadget in runs[0]))
    rows = []
    for gadget in gadgets:
        cells = [[run[gadget] for run in runs if gadget in run] for runs in steps.values()]
        rows.append((gadget, *(f"{statistics.median(cell):.2f}" if cell else "-" for cell in cells)))
    rows.append(("bare call", *(f"{statistics.median(bare for _, bare in runs):.2f}" for runs in results.values())))
    print_table(("gadget", *results), rows)


def _steps(timeline: Timeline) -> dict[str, float]:
    """Milliseconds by which each gadget's last item left later than that of the gadget before it."""
    moments = [0.0, *(timeline.ms(moment) for moment in timeline.left.values())]
    return {name: after - before for name, (before, after) in zip(timeline.left, pairwise(moments), strict=True)}


if __name__ == "__main__":
    main()
