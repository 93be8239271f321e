"""Would CUDA graphs or `torch.compile` pay? Neither is used; measured only."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from gpu_parts.here import Here
from gpu_parts.row import Row
from kband_core.models import load_model
from kband_core.networks import Modl
from kband_core.operators import encoding_operator
from kband_core.patterns import equispaced_lines
from kband_core.sampling import Grid

N_COILS = 8
ONLY_THERE = "asked of a GPU only"


def cuda_graph(here: Here) -> Iterator[Row]:
    """The network that ships, as one recorded graph of kernels, beside the same without."""
    what = "simulated_small alone, 256² × 8"
    if not here.is_gpu:
        yield Row(f"{what}, as a CUDA graph", note=ONLY_THERE)
        return
    model, inputs = _prepared(here.device)
    with torch.no_grad():
        yield here.timed(f"{what}, as it is", lambda _: lambda: model(*inputs), beside_cpu=False)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            model(*inputs)
        yield here.timed(f"{what}, as a CUDA graph", lambda _: graph.replay, beside_cpu=False)


def compiled(here: Here) -> Iterator[Row]:
    """Its denoisers compiled, which takes a while at the first image of each size."""
    what = "simulated_small alone, 256² × 8, denoisers compiled"
    if not here.is_gpu:
        yield Row(what, note=ONLY_THERE)
        return
    model, inputs = _prepared(here.device)
    for denoiser in model.denoisers:
        denoiser.compile()
    with torch.no_grad():
        yield here.timed(what, lambda _: lambda: model(*inputs), beside_cpu=False)


def _prepared(device: torch.device) -> tuple[Modl, tuple]:
    kspace = torch.randn(1, N_COILS, 256, 256, dtype=torch.complex64, device=device)
    lines = equispaced_lines(256, 4, acs_lines=24).mask[None].to(device)
    csm = torch.full((1, 1, N_COILS, 256, 256), N_COILS**-0.5, dtype=torch.complex64, device=device)
    return load_model("simulated_small", device), (
        kspace * lines, encoding_operator(Grid(lines), csm), torch.full((1,), 0.01, device=device)
    )  # fmt: skip
