"""The network that ships, in bfloat16 and in float32, with all instructions of this CPU and without the newer ones.

    OMP_WAIT_POLICY=passive python benchmarks/convolution_precision.py [--matrix 256 256] [--coils 8] [--repeats 5]

Each limit is a process of its own, with ONEDNN_MAX_CPU_ISA, which torch's convolutions obey; FFTs and all else use
what the CPU has. In a process both precisions take turns on one simulated scan, R=3.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
from functools import partial

import click
import torch
from measure import interleave, print_conditions, print_table

from kband_core import reconstruct
from kband_core.models import load_model
from kband_core.patterns import equispaced_lines
from kband_core.training.simulation.procedural import procedural_plane

LIMITS = {
    "all that this CPU has": "DEFAULT",
    "AVX-512 without bfloat16": "AVX512_CORE",
    "AVX2": "AVX2",
}
PRECISIONS = {"bfloat16": {"avx512_bf16": True}, "float32": {}}


def seconds_of(limit: str, shape: tuple[int, int], n_coils: int, repeats: int) -> dict[str, float]:
    """Median seconds of each precision, in a process that has convolved nothing yet."""
    os.environ["ONEDNN_MAX_CPU_ISA"] = limit
    plane = procedural_plane(shape, n_coils=n_coils, rng=torch.Generator().manual_seed(0), noise=(0.02, 0.02))
    sampling = equispaced_lines(shape[0], 3, acs_lines=24)
    scan = (plane.kspace * sampling.mask)[None], sampling, plane.csm[None]
    model = load_model("simulated_small")

    def infer(capabilities: dict[str, bool]) -> None:
        torch.cpu.get_capabilities = lambda: capabilities
        reconstruct.network(*scan, model)

    times = interleave({name: partial(infer, has) for name, has in PRECISIONS.items()}, repeats)
    return {name: statistics.median(seconds) for name, seconds in times.items()}


@click.command(help=__doc__.partition("\n")[0])
@click.option("--matrix", nargs=2, default=(256, 256), show_default=True, help="Lines and samples.")
@click.option("--coils", default=8, show_default=True, help="Coils.")
@click.option("--repeats", default=5, show_default=True, help="Turns of each precision.")
def main(matrix: tuple[int, int], coils: int, repeats: int) -> None:
    """Print the table."""
    print_conditions(f"simulated_small, {matrix[0]} × {matrix[1]}, {coils} coils; median of {repeats} turns")
    rows = []
    for name, limit in LIMITS.items():
        with multiprocessing.get_context("spawn").Pool(1) as process:
            seconds = process.apply(seconds_of, (limit, matrix, coils, repeats))
        ratio = seconds["bfloat16"] / seconds["float32"]
        rows.append((name, *(f"{1e3 * seconds[precision]:.0f}" for precision in PRECISIONS), f"{ratio:.2f}"))
    print_table(("instructions", *(f"{precision} ms" for precision in PRECISIONS), "ratio"), rows)


if __name__ == "__main__":
    main()
