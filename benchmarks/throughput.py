"""Acquisitions per second through the chain, gadget by gadget, against reading the file and copying memory."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import torch
from measure import interleave, print_conditions, print_table

from gadgets.gadget import Gadget
from gadgets.items import Calibration, ImageArray, ReconBuffer
from gadgets.receiving.acquisition_buffer import AcquisitionBuffer
from gadgets.recon.reconstruction import Method, Reconstruction
from gadgets.recon.reconstructor import Reconstructor
from gadgets.recon.sense_recon import SenseRecon
from gadgets.scan import Scan
from gadgets.stock import (
    AsymmetricEchoAdjustRO,
    AutoScale,
    ComplexToFloat,
    FloatToUShort,
    ImageArraySplit,
    ImageFinish,
    NoiseAdjust,
    RemoveROOversampling,
)
from pipelines.chain.pipeline import Pipeline
from pipelines.chain.pump import READ_AHEAD, pump
from pipelines.chain.run import run
from pipelines.chain.verdict import Verdict
from pipelines.files.mrd_file import RawFile, write_raw
from pipelines.simulation.simulated_protocol import Protocol
from pipelines.simulation.simulated_scan import simulate_scan

READING, COPY = "reading the file", "copying the samples"


@dataclass
class Unreconstructed(SenseRecon):
    """SENSE without the reconstruction: every image is the number one."""

    def process(self, items: Iterable[Calibration | ReconBuffer]) -> Iterator[ImageArray]:
        return Reconstructor("Unreconstructed", [Ones()], lambda _: False).process(items)


@dataclass
class Ones(Method):
    """An image of ones, from nothing."""

    label: str = "ones"

    def reconstruct(self, buffer: ReconBuffer) -> Reconstruction:
        return Reconstruction(torch.ones(1, *buffer.kspace.shape[-2:], dtype=torch.complex64))


@click.command()
@click.option("--repeats", default=7, show_default=True)
@click.option("--threads", default=1, show_default=True, help="Threads torch computes with.")
def main(repeats: int, threads: int) -> None:
    """Time chains that grow gadget by gadget, in turns."""
    torch.set_num_threads(threads)
    print_conditions(
        f"simulated scans with noise lines, written as one MRD file in the page cache; {repeats} repeats in turns; "
        "µs per line, each chain with everything before it"
    )
    for n_coils, matrix, n_repetitions in ((32, 256, 4), (8, 128, 16)):
        protocol = Protocol(matrix=matrix, n_coils=n_coils, n_slices=1, n_repetitions=n_repetitions, acceleration=1)
        _measure(protocol, repeats)


def _measure(protocol: Protocol, repeats: int) -> None:
    xml, lines, _ = simulate_scan(protocol)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scan.h5"
        write_raw(path, xml, lines)
        scan = Scan.from_xml(xml)
        cases: dict[str, Callable[[], object]] = {
            COPY: lambda: [line.data.copy() for line in lines],
            READING: lambda: _through([], scan, path),
            "reading it in another thread": lambda: _through([], scan, path, READ_AHEAD),
            "+ NoiseAdjust": lambda: _through([NoiseAdjust()], scan, path),
            "+ RemoveROOversampling": lambda: _through([NoiseAdjust(), RemoveROOversampling()], scan, path),
            "+ AcquisitionBuffer": lambda: _through(
                [NoiseAdjust(), RemoveROOversampling(), AcquisitionBuffer(device="cpu")], scan, path
            ),
            "whole chain, no reconstruction": lambda: _through(_whole_chain(), scan, path),
            "the same, reading in another thread": lambda: _through(_whole_chain(), scan, path, READ_AHEAD),
        }
        seconds = interleave(cases, repeats)
    kilobytes = lines[-1].data.nbytes / 1000
    click.echo(
        f"{protocol.n_coils} coils × {protocol.n_samples} samples, {kilobytes:.0f} kB a line, {len(lines):,} lines, "
        f"{protocol.n_repetitions} images of {protocol.matrix} × {protocol.matrix}"
    )
    reading, copy = (statistics.median(seconds[name]) for name in (READING, COPY))
    rows = []
    for name, times in seconds.items():
        least, median = min(times) / len(lines), statistics.median(times) / len(lines)
        rows.append((name, f"{1 / median:,.0f}", f"{1e6 * median:.0f}", f"{1e6 * least:.0f}",
                     f"{median * len(lines) / reading:.2f}", f"{median * len(lines) / copy:.1f}"))  # fmt: skip
    print_table(("chain", "lines/s", "µs median", "µs least", "to reading", "to copying"), rows)


def _whole_chain() -> list[Gadget]:
    return [
        NoiseAdjust(), AsymmetricEchoAdjustRO(), RemoveROOversampling(), AcquisitionBuffer(device="cpu"),
        Unreconstructed(), ImageArraySplit(), ComplexToFloat(), AutoScale(), FloatToUShort(), ImageFinish(),
    ]  # fmt: skip


def _through(chain: list[Gadget], scan: Scan, path: Path, read_ahead: int = 0) -> None:
    with RawFile(path) as raw:
        lines: Iterable = pump(raw, read_ahead) if read_ahead else raw
        for _ in run(Pipeline(chain), scan, lines, Verdict()):
            pass


if __name__ == "__main__":
    main()
