"""Designed shots against spokes and spirals of as many shots, readout time and gradients; also through the chain.

Random objects like those of the design judge by CG-SENSE with their maps; the head of ellipses, which no design has
seen, through the pipeline `spiral`, which finds maps itself. Their samples are written, simulated and read as by users.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import click
import numpy as np
import torch
from measure import print_conditions, print_table

from kband_core.trajectory_design.comparison import judged, radial_start, spiral_start
from kband_core.trajectory_design.gradient_limits import GradientLimits
from kband_core.trajectory_design.learning import LEVELS, Task, learned
from kband_core.trajectory_design.starts import Readout
from pipelines.api import reconstruct
from pipelines.design.shots_file import read_shots, write_shots
from pipelines.files.mrd_file import write_raw
from pipelines.simulation.simulated_protocol import FOV_MM, Protocol
from pipelines.simulation.simulated_scan import simulate_scan

DWELL_US = 4.0


@click.command()
@click.option("--matrix", type=int, default=64, show_default=True)
@click.option("--shots", "n_shots", type=int, default=8, show_default=True)
@click.option("--readout-ms", type=float, default=1.92, show_default=True)
@click.option("--steps", type=int, default=300, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
def main(matrix: int, n_shots: int, readout_ms: float, steps: int, seed: int) -> None:
    """Design, and compare."""
    readout = Readout(n_samples=round(readout_ms * 1000 / DWELL_US), dwell_us=DWELL_US, pixel_mm=FOV_MM / matrix)
    task = Task(n_shots=n_shots, matrix=matrix, readout=readout, limits=GradientLimits())
    starts = {"radial": radial_start(task), "spiral": spiral_start(task, seed)}
    *_, last = learned(task, starts["spiral"], n_steps=steps, rng=torch.Generator().manual_seed(seed))
    print_conditions(
        f"{matrix}², {n_shots} shots of {readout_ms:g} ms, {DWELL_US:g} us a sample, at most "
        f"{task.limits.gradient:g} mT/m and {task.limits.slew:g} T/m/s, noise {task.noise:g} of the brightness;\n"
        f"{steps} steps, seed {seed}.\n"
        "NRMSE: random objects by CG-SENSE at its best λ, by maps of a full scan, and by maps found in the same\n"
        "samples; the head of ellipses by the pipeline `spiral`."
    )
    of_objects = {row.name: row for row in judged(task, starts, last.points, seed)}
    places = {**starts, "design": task.places(last.points, LEVELS - 1)}
    rows = []
    spiral = of_objects["spiral"]
    for name, row in of_objects.items():
        chain = ("", "", "")
        if name in places:
            relative = row.with_own_maps / spiral.with_own_maps
            chain = f"{row.with_own_maps:.3f}", f"{relative:.2f}", f"{_in_the_chain(places[name], task):.3f}"
        rows.append((name, f"{row.error:.3f}", f"{row.error / spiral.error:.2f}", *chain))
    print_table(
        ("trajectory", "random objects", "of the spiral's", "own maps", "of the spiral's", "head, in the chain"), rows
    )
    strongest, steepest = task.raster(LEVELS - 1).largest(last.points)
    print(f"The design takes at most {strongest:.1f} mT/m and {steepest:.1f} T/m/s.")


def _in_the_chain(places: torch.Tensor, task: Task) -> float:
    """Write a table of shots, scan along it, and return the NRMSE of the pipeline's image at its best factor."""
    with tempfile.TemporaryDirectory() as folder:
        table, scan = Path(folder, "shots.csv"), Path(folder, "scan.h5")
        write_shots(table, places, task.readout.times_us, task.readout.pixel_mm)
        shots = read_shots(table, task.readout.pixel_mm)
        protocol = Protocol(matrix=task.matrix, n_slices=1, trajectory="other", n_shots=len(shots), places=shots)
        header, lines, reference = simulate_scan(protocol)
        write_raw(scan, header, lines, reference=reference)
        found = np.abs(np.squeeze(reconstruct(scan, "spiral").images)).astype(float)
    truth = np.squeeze(reference[0].data).astype(float)
    factor = (found * truth).sum() / np.square(found).sum()
    return float(np.linalg.norm(factor * found - truth) / np.linalg.norm(truth))


if __name__ == "__main__":
    main()
