"""How fast the networks are, at work and in training."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import nn
from unrolled_networks import FASTEST, PUBLISHED, SMALL, contestant, simulated
from unrolled_networks import training_step as step_of

from gpu_parts.here import Here
from gpu_parts.row import Row
from kband_core.models import load_model
from kband_core.patterns import equispaced_lines
from kband_core.phantom import coil_kspace, head_phantom, loop_coils
from kband_core.reconstruct import Given, network
from kband_core.sampling import Grid
from kband_core.training.batches import to_device
from kband_core.training.recipe import read_recipe

WEIGHT = 0.05  # λ


def published_size(here: Here) -> Iterator[Row]:
    """The network of the k-band paper, of 2.0 million weights, at the size of a knee."""
    shape, n_coils = ((32, 24), 3) if here.small else ((640, 372), 15)
    what = f"k-band image, 2.0 M weights, {_size(shape, n_coils)}"
    yield here.timed(what, partial(image_on, _untrained, shape, n_coils), aim=50, beside_cpu=False)


def small_size(here: Here) -> Iterator[Row]:
    """The network that ships."""
    shape, n_coils = ((48, 48), 4) if here.small else ((256, 256), 8)
    build = partial(load_model, "simulated_small")
    yield here.timed(f"k-band image, simulated_small, {_size(shape, n_coils)}",
                partial(image_on, build, shape, n_coils), aim=5)  # fmt: skip


def training_step(here: Here) -> Iterator[Row]:
    """Forward, loss, backward and Adam, against the published network."""
    yield from _steps((24, 24) if here.small else (320, 320), 2 if here.small else 8, here)


def large_training_step(here: Here) -> Iterator[Row]:
    """The same where the published network may need more memory than there is."""
    if not here.small:
        yield from _steps((640, 372), 15, here)


def image_on(
    build: Callable[[torch.device], nn.Module], shape: tuple[int, int], n_coils: int, device: torch.device
) -> Callable[[], torch.Tensor]:
    """The image of a simulated head at R=4, by a network; the scan lies on the device before."""
    coils = loop_coils(n_coils)
    lines = equispaced_lines(shape[0], 4, acs_lines=min(24, shape[0] // 2)).to(device)
    kspace = coil_kspace(head_phantom(), coils, shape, oversampling=1).to(device) * lines.mask
    csm = coils.maps(shape).to(device)
    csm = csm / csm.abs().square().sum(-3, keepdim=True).sqrt().clamp(min=1e-6)
    model, planes = build(device), (kspace[None], Grid(lines.mask[None]), csm[None])
    given = Given.on_grid(*planes)
    given.record(model)  # as a chain does ahead of its first image
    noise = given.noise * given.scale  # which the calibration tells there
    return lambda: network(*planes, model, noise)


def _untrained(device: torch.device) -> nn.Module:
    return read_recipe("knee_kband").network.build().to(device)


def _steps(shape: tuple[int, int], n_coils: int, here: Here) -> Iterator[Row]:
    scan = to_device(simulated(shape, n_coils), here.device)
    size, times = _size(shape, n_coils), {}
    for name in (SMALL, FASTEST, PUBLISHED):
        step = step_of(contestant(name, WEIGHT).to(here.device), scan)
        row = here.timed(f"training step, {name}, {size}", lambda _, step=step: step, beside_cpu=False)
        times[name] = row.got
        yield row
    for name in (FASTEST, SMALL):
        yield Row(f"training step, published against {name}, {size}", times[PUBLISHED] / times[name],
                  unit="times", aim=here.asked(5), more_is_better=True)  # fmt: skip


def _size(shape: tuple[int, int], n_coils: int) -> str:
    return f"{shape[0]} × {shape[1]} × {n_coils}"
