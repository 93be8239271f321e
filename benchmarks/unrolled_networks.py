"""Unrolled networks that are compared, one simulated scan for all, and what is timed of them: a step, an image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from published.modl import PublishedModl
from torch import Tensor, nn

from kband_core.losses import kspace_loss
from kband_core.networks import Modl
from kband_core.patterns import variable_density_lines
from kband_core.training.batches import stack
from kband_core.training.example import Example, make_example
from kband_core.training.recipe import read_recipe
from kband_core.training.simulation.procedural import procedural_plane

PUBLISHED = "published, plain: fp32, 10 + 10 CG"
FASTEST = "same weights: bf16, 5 CG"
SAME = {
    "same weights: fp32, 10 CG": {"cg_iterations": 10},
    "same weights: bf16, 10 CG": {"cg_iterations": 10, "bf16": True},
    FASTEST: {"cg_iterations": 5, "bf16": True},
}
SMALL = "small, recipe simulated_small"
NAMES = (PUBLISHED, *SAME, SMALL)
CONVERGED = 100


def contestant(name: str, weight: float) -> nn.Module:
    torch.manual_seed(0)
    published = PublishedModl(weight=weight)
    if name == PUBLISHED:
        return published
    if name == SMALL:
        return read_recipe("simulated_small").network.build()
    return with_weights_of(published, weight=weight, **SAME[name])


def converged(name: str, weight: float) -> nn.Module:
    """The same network in fp32, with so many CG steps that more change nothing."""
    model = contestant(name, weight)
    if name == PUBLISHED:
        return with_weights_of(model, weight=weight, cg_iterations=CONVERGED)
    model.cg_iterations, model.bf16 = CONVERGED, False
    return model


def with_weights_of(published: PublishedModl, **settings: object) -> Modl:
    ours = Modl(**settings)
    ours.denoisers[0].load_state_dict(published.denoiser.state_dict())
    return ours


def simulated(shape: tuple[int, int], n_coils: int) -> Example:
    """One scaled scan at R=4, judged by its full k-space."""
    rng = torch.Generator().manual_seed(0)
    plane = procedural_plane(shape, n_coils=n_coils, rng=rng, noise=(0.02, 0.02))
    sampling = variable_density_lines(shape[0], 4, acs_lines=shape[0] // 8, rng=rng)
    # maps everywhere: ours gives no signal outside them, the published one does, and shall be compared within
    csm = torch.where(plane.csm.abs().sum(-3, keepdim=True) > 0, plane.csm, n_coils**-0.5)
    return stack([make_example(replace(plane, csm=csm), sampling, torch.ones(shape[0], 1), sampling)])


def training_step(model: nn.Module, scan: Example) -> Callable[[], None]:
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-4)

    def step() -> None:
        image = model(scan.kspace, scan.operator(), scan.noise)
        loss = kspace_loss(image, scan.target_operator(), scan.target, scan.weight)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        wait_for(scan.target)

    return step


def inference(model: nn.Module, scan: Example) -> Callable[[], Tensor]:
    @torch.no_grad()
    def once() -> Tensor:
        image = model(scan.kspace, scan.operator(), scan.noise)
        wait_for(image)
        return image

    return once


def wait_for(tensor: Tensor) -> None:
    if tensor.is_cuda:
        torch.cuda.synchronize()
