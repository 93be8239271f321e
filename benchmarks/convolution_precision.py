"""Networks that ship, in bfloat16 and in float32, with all instructions of this CPU and without the newer ones.

    OMP_WAIT_POLICY=passive python benchmarks/convolution_precision.py [--matrix 256 256] [--coils 12] [--repeats 9]

Each limit is a process of its own, with variables that convolutions, and for AVX2 FFTs, products and sums obey. In a
process all models in both precisions take turns on one simulated scan, R=3: from k-space and maps to the image, the
noise told by the scan as well.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
from collections.abc import Sequence
from functools import partial

import click
import torch
from measure import interleave, print_conditions, print_table
from torch import nn

from kband_core import reconstruct
from kband_core.models import load_model
from kband_core.patterns import equispaced_lines
from kband_core.training.simulation.procedural import procedural_plane

LIMITS: dict[str, dict[str, str]] = {
    "all that this CPU has": {},
    "AVX-512 without bfloat16": {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE"},
    "AVX2": {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"},
}
PRECISIONS = {"bfloat16": {"avx512_bf16": True}, "float32": {}}


def seconds_of(
    models: Sequence[str], shape: tuple[int, int], n_coils: int, repeats: int
) -> dict[tuple[str, str], list[float]]:
    """Seconds of each model in each precision, in a process that has convolved nothing yet."""
    plane = procedural_plane(shape, n_coils=n_coils, rng=torch.Generator().manual_seed(0), noise=(0.02, 0.02))
    sampling = equispaced_lines(shape[0], 3, acs_lines=24)
    scan = (plane.kspace * sampling.mask)[None], sampling, plane.csm[None]

    def infer(model: nn.Module, capabilities: dict[str, bool]) -> None:
        torch.cpu.get_capabilities = lambda: capabilities
        reconstruct.network(*scan, model)

    return interleave({
        (name, precision): partial(infer, load_model(name), has)
        for name in models for precision, has in PRECISIONS.items()
    }, repeats)  # fmt: skip


@click.command(help=__doc__.partition("\n")[0])
@click.option("--matrix", nargs=2, default=(256, 256), show_default=True, help="Lines and samples.")
@click.option("--coils", default=12, show_default=True, help="Coils.")
@click.option("--repeats", default=9, show_default=True, help="Turns of each model and precision.")
@click.option("--model", "models", multiple=True, default=("simulated_small", "simulated_fast"), show_default=True,
              help="Of the registry; or several.")
def main(matrix: tuple[int, int], coils: int, repeats: int, models: tuple[str, ...]) -> None:
    """Print the table."""
    print_conditions(
        f"{matrix[0]} × {matrix[1]}, {coils} coils; ms: medians of {repeats} turns, least in brackets; ratio of medians"
    )
    rows = []
    for name, limits in LIMITS.items():
        os.environ |= limits
        with multiprocessing.get_context("spawn").Pool(1) as process:
            seconds = process.apply(seconds_of, (models, matrix, coils, repeats))
        for model in models:
            of_model = [seconds[model, precision] for precision in PRECISIONS]
            medians = [statistics.median(each) for each in of_model]
            pairs = zip(medians, of_model, strict=True)
            told = [f"{1e3 * median:.0f} ({1e3 * min(each):.0f})" for median, each in pairs]
            rows.append((name, model, *told, f"{medians[0] / medians[1]:.2f}"))
    print_table(("instructions", "model", *PRECISIONS, "ratio"), rows)


if __name__ == "__main__":
    main()
