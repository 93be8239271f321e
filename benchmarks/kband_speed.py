"""Training step and inference of our unrolled networks against the published architecture implemented plainly.

    python benchmarks/kband_speed.py [--matrix 128 128] [--coils 8] [--repeats 5] [--threads 2]
    python benchmarks/kband_speed.py --device cuda --matrix 640 372 --coils 15 --repeats 20

All contestants take turns on one simulated scan, R=4 along ky. A training step is forward, per-coil ℓ1 loss, backward
and Adam, batch 1. Rows of the same weights compute the same network as the published one, with the same random weights
and λ; their error is to that network with 100 CG steps in each unroll, in fp32. The small network has weights of its
own, and its error is to itself so converged. Peak memory is what one training step adds to what the process held
before it: on the CPU in resident memory, each in a fresh process; on a GPU in what torch allocates.
"""

from __future__ import annotations

import copy
import math
import multiprocessing
import statistics
from functools import partial
from pathlib import Path

import click
import torch
from measure import interleave, print_conditions, print_table
from unrolled_networks import NAMES, PUBLISHED, SMALL, contestant, converged, inference, simulated, training_step

from kband_core.metrics import nmse
from kband_core.training.batches import to_device

AIM = {"speed": 5, "memory": 2}


def peak_megabytes(name: str, weight: float, shape: tuple[int, int], n_coils: int, device: str) -> float:
    """What the first training step adds."""
    scan = to_device(simulated(shape, n_coils), torch.device(device))
    step = training_step(contestant(name, weight).to(device), scan)
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        step()
        return (torch.cuda.max_memory_allocated() - before) / 1e6
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
    before = resident("VmRSS")
    step()
    return resident("VmHWM") - before


def resident(what: str) -> float:
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith(what))
    return int(line.split()[1]) * 1024 / 1e6


@click.command(help=__doc__)
@click.option("--matrix", nargs=2, default=(128, 128), show_default=True, help="Lines and columns.")
@click.option("--coils", default=8, show_default=True)
@click.option("--weight", default=0.05, show_default=True, help="λ of all with the published weights; 0.001 there.")
@click.option("--device", default="cpu", show_default=True)
@click.option("--repeats", default=5, show_default=True)
@click.option("--threads", default=torch.get_num_threads(), show_default=True)
def main(matrix: tuple[int, int], coils: int, weight: float, device: str, repeats: int, threads: int) -> None:
    torch.set_num_threads(threads)
    size = f"{matrix[0]} × {matrix[1]}, {coils} coils, λ = {weight:g}, {device}"
    print_conditions(f"{size}; one simulated scan, R=4; medians of {repeats}, in turns")
    with multiprocessing.get_context("spawn").Pool(1, torch.set_num_threads, (threads,), maxtasksperchild=1) as fresh:
        measure = partial(peak_megabytes, weight=weight, shape=matrix, n_coils=coils, device=device)
        memory = dict(zip(NAMES, fresh.map(measure, NAMES, chunksize=1), strict=True))
    scan = to_device(simulated(matrix, coils), torch.device(device))
    models = {name: contestant(name, weight).to(device) for name in NAMES}
    exact = {name: inference(converged(name, weight).to(device), scan)() for name in (PUBLISHED, SMALL)}
    errors = {
        name: float(nmse(inference(model, scan)(), exact[SMALL if name == SMALL else PUBLISHED]))
        for name, model in models.items()
    }
    inferring = interleave({name: inference(model, scan) for name, model in models.items()}, repeats)
    trained = {name: training_step(copy.deepcopy(model), scan) for name, model in models.items()}
    training = interleave(trained, repeats)
    print_comparison(training, inferring, memory, errors)


def print_comparison(training: dict, inferring: dict, memory: dict, errors: dict) -> None:
    """One row a contestant; "×" is how many times less than the published."""
    rows = []
    for name in NAMES:
        row = [name]
        for seconds in (training, inferring):
            mine, theirs = statistics.median(seconds[name]), statistics.median(seconds[PUBLISHED])
            row += [f"{1e3 * mine:.0f}", f"{theirs / mine:.1f}"]
        row += [f"{memory[name]:.0f}", f"{memory[PUBLISHED] / memory[name]:.1f}"]
        rows.append((*row, f"{errors[name]:.1e}", f"{10 * math.log10(errors[name]):.0f}"))
    rows.append(("aim", "", str(AIM["speed"]), "", str(AIM["speed"]), "", str(AIM["memory"]), "", ""))
    header = ("", "training ms", "×", "inference ms", "×", "memory MB", "×", "NMSE to converged", "dB")
    print_table(header, rows)


if __name__ == "__main__":
    main()
