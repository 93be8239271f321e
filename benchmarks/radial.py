"""CG-SENSE along the trajectories of real radial and spiral phantoms, against BART's and SigPy's."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import click
import numpy as np
import torch
from measure import data_option, print_conditions, print_table, scores
from peers import bart_along, require_bart, sigpy_sense
from torch import Tensor

from gadgets.coils.coil_sensitivities import CoilSensitivities
from gadgets.items import ReconBuffer
from gadgets.receiving.trajectory_buffer import TrajectoryBuffer
from gadgets.recon.nufft_sense import Gridding, NufftSense
from gadgets.scan import Scan
from kband_core.coils import root_sum_of_squares
from kband_core.data_residual import central_residual
from kband_core.gradient_delays import delayed, opposed_delays, ring_delays
from kband_core.reconstruct import sense
from kband_core.trajectories import spokes
from pipelines.chain.pipeline import Pipeline
from pipelines.chain.run import run
from pipelines.chain.verdict import Verdict
from pipelines.files.mrd_file import RawFile

RADIAL = {"69 spokes": ("phantom_radial_69spokes_16ch_2slices", 0.005),
          "29 spokes": ("phantom_radial_29spokes_16ch_2slices", 0.01)}  # fmt: skip
SPIRAL = "phantom_spiral_8ch"
WEIGHT, ITERATIONS = 0.001, 30  # of both solvers
MOST = {"magnitude": 0.13, "spiral": 0.05}
OBJECT = 0.15  # of the brightest pixel


@click.command()
@data_option
def main(data: Path) -> None:
    """Compare on the same samples; exit with 1 where a difference exceeds its bound."""
    require_bart()
    if find_spec("sigpy") is None:
        raise click.ClickException("sigpy is not installed; pip install kband[bench]")
    print_conditions(
        f"16 coils, 192², λ = {WEIGHT}, {ITERATIONS} iterations of all (pics -l2 -w1) on our maps: complex NRMSE\n"
        f"to BART after one factor, and s, BART's with its files. Magnitude NRMSE to BART of our\n"
        f"{NufftSense.n_iterations} iterations at λ = {NufftSense.regularisation} per sample and pixel, as shipped, "
        "and of gridding."
    )
    rows, exceeding, shipped = [], [], f"{NufftSense.n_iterations} iterations"
    for name, (stem, most) in RADIAL.items():
        for buffer in _buffers(data / f"{stem}.h5"):
            label = f"{name}, slice {buffer.slice_counters()[0]}"
            row, figures = _against_pics(buffer)
            rows.append((label, *row))
            exceeding += [f"{label}: {figures[0]:.4f}"] if figures[0] > most else []
            exceeding += [f"{label}, {shipped}: {figures[1]:.3f}"] if figures[1] > MOST["magnitude"] else []
    header = "radial", "same maps", "SigPy's", "ours, s", "BART, s", "SigPy, s", shipped, "gridding"
    print_table(header, rows)
    click.echo(f"BART takes {_ratio(rows, 4)} times as long as ours, SigPy {_ratio(rows, 5)} times.\n")
    print_table(
        ("delays, samples late", "x", "y", "xy", "residual", "opposed", "RING", "as told", "wrong sign"),
        [row for name, (stem, _) in RADIAL.items() for row in _delays(name, data / f"{stem}.h5")],
    )
    for buffer in _buffers(data / f"{SPIRAL}.h5"):
        row, difference = _against_nufft(buffer)
        print_table(("spiral, in the object", "difference to nufft -i -m 30"), row)
        exceeding += [f"spiral: {difference:.3f}"] if difference > MOST["spiral"] else []
    if exceeding:
        raise click.ClickException(f"{len(exceeding)} differences exceed their bounds: {'; '.join(exceeding)}")
    click.echo("all within their bounds")


def _buffers(path: Path) -> Iterator[ReconBuffer]:
    with RawFile(path) as raw:
        chain = Pipeline([TrajectoryBuffer(device="cpu"), CoilSensitivities(n_sets=1)])
        for item in run(chain, Scan.from_xml(raw.header_xml), raw, Verdict()):
            if isinstance(item, ReconBuffer):
                yield item


def _delays(name: str, path: Path) -> Iterator[tuple[str, ...]]:
    """What opposed spokes tell of nominal spokes, and the data residual there, by either estimate, and as told."""
    with RawFile(path) as raw:
        shape, lines = Scan.from_xml(raw.header_xml).encodings[0].image_grid, list(raw)
    for number in sorted({line.idx.slice for line in lines}):
        shots = [line for line in lines if line.idx.slice == number]
        told = torch.from_numpy(np.stack([shot.traj[:, ::-1] for shot in shots]).astype(np.float32))
        kspace = torch.from_numpy(np.stack([shot.data for shot in shots], 1))
        nominal = spokes(torch.atan2(*(told[:, -1] - told[:, 0]).double().unbind(-1)), told.shape[1])
        opposed, ring = opposed_delays(kspace, nominal), ring_delays(kspace, nominal)
        (y, xy), (_, x) = opposed.tolist()
        places = [nominal, *(delayed(nominal, delays) for delays in (opposed, ring)), told, delayed(nominal, -opposed)]
        residuals = [f"{central_residual(kspace, coords, shape):.3f}" for coords in places]
        yield f"{name}, slice {number}", f"{x:.3f}", f"{y:.3f}", f"{xy:.3f}", *residuals


def _against_pics(buffer: ReconBuffer) -> tuple[list[str], tuple[float, float]]:
    csm, sampling, kspace = buffer.csm[0, 0], buffer.sampling[0, 0, 0], buffer.kspace[0, 0, 0]
    ours, our_time = _timed(lambda: sense(kspace, sampling, csm, regularisation=WEIGHT, n_iterations=ITERATIONS))
    command = ["pics", "-S", "-w1", "-l2", f"-r{WEIGHT}", f"-i{ITERATIONS}", "-t"]
    theirs, their_time = _timed(lambda: bart_along(command, _cycles(buffer), kspace, csm)[0, 0])
    same = _difference(ours, theirs)
    third, third_time = _timed(lambda: sigpy_sense(_cycles(buffer), kspace, csm[0], WEIGHT, ITERATIONS))
    shipped = scores(NufftSense().reconstruct(buffer).image[0], theirs.abs())[0]
    gridded = scores(Gridding().reconstruct(buffer).image[0], theirs.abs())[0]
    row = [
        f"{same:.4f}", f"{_difference(third, theirs):.4f}", f"{our_time:.2f}", f"{their_time:.2f}", f"{third_time:.2f}",
        f"{shipped:.3f}", f"{gridded:.3f}",
    ]  # fmt: skip
    return row, (same, shipped)


def _difference(image: Tensor, reference: Tensor) -> float:
    """Complex NRMSE after the one factor that fits best."""
    factor = torch.vdot(image.flatten(), reference.flatten()) / image.abs().square().sum()
    return float((factor * image - reference).norm() / reference.norm())


def _ratio(rows: list[tuple[str, ...]], column: int) -> str:
    """Range of the seconds in a column over ours."""
    ratios = sorted(float(row[column]) / float(row[3]) for row in rows)
    return f"{ratios[0]:.1f} to {ratios[-1]:.1f}"


def _against_nufft(buffer: ReconBuffer) -> tuple[list[tuple[str, str]], float]:
    kspace, (ny, nx) = buffer.kspace[0, 0, 0], buffer.csm.shape[-2:]
    command = ["nufft", "-i", "-m", "30", "-d", f"{nx}:{ny}:1"]
    theirs = root_sum_of_squares(bart_along(command, _cycles(buffer), kspace)[0])
    inside = theirs > OBJECT * theirs.max()
    made = {method.label: method.reconstruct(buffer).image[0] for method in (Gridding(), NufftSense())}
    found = {name: scores(image * inside, theirs * inside)[0] for name, image in made.items()}
    return [(name, f"{value:.3f}") for name, value in found.items()], min(found.values())


def _cycles(buffer: ReconBuffer) -> Tensor:
    """Places in cycles per image, kx first."""
    shape = torch.tensor(buffer.csm.shape[-2:])
    return (buffer.sampling.coords[0, 0, 0] * shape).flip(-1)


def _timed(compute: Callable[[], Tensor]) -> tuple[Tensor, float]:
    started = time.perf_counter()
    return compute(), time.perf_counter() - started


if __name__ == "__main__":
    main()
