"""How well maps of water and fat were found on simulated scans that nobody trained on, and how far σ may be trusted."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from kband_core.relaxometry.learned import QUANTITIES
from kband_core.relaxometry.water_fat import water_fat
from kband_core.training.water_fat.examples import Slice, example_of
from kband_core.training.water_fat.loss import map_errors, shines, water_fat_loss
from kband_core.uncertainty.reliability import Reliability, reliability

LEAST_SHINE = 0.5  # of full signal, from which on a pixel is judged


@torch.no_grad()
def validate(network: nn.Module, slices: Sequence[Slice]) -> dict[str, float]:
    """Return the mean loss, and the mean absolute error of each map."""
    losses, errors, _ = _judged(network, slices)
    return {"validation_loss": losses, **_means("", errors)}


@torch.no_grad()
def calibrate(
    network: nn.Module, slices: Sequence[Slice], n_bins: int
) -> tuple[dict[str, float], dict[str, Reliability]]:
    """Return mean absolute errors of the network and of the fit by least squares, and what corrects each σ."""
    _, errors, sigmas = _judged(network, slices)
    of_each = zip(QUANTITIES, sigmas, errors, strict=True)
    tables = {name: reliability(said, came, n_bins) for name, said, came in of_each}
    return {**_means("", errors), **_means("fit_", _errors_of_fit(slices))}, tables


def _judged(network: nn.Module, slices: Sequence[Slice]) -> tuple[float, list[Tensor], list[Tensor]]:
    """Mean loss, and errors and σ of all pixels that shine, `(pixel,)` for each map."""
    losses, errors, sigmas = [], [], []
    for one in slices:
        example = example_of([one])
        mapped = network(example.echoes, example.noise, example.r2star, example.b0)
        losses.append(float(water_fat_loss(mapped, example)))
        inside = shines(example)[0] > LEAST_SHINE
        errors.append(map_errors(mapped, example)[0][:, inside])
        sigmas.append(mapped.sigma[0][:, inside])
    return sum(losses) / len(losses), list(torch.cat(errors, 1)), list(torch.cat(sigmas, 1))


def _errors_of_fit(slices: Sequence[Slice]) -> list[Tensor]:
    errors = []
    for one in slices:
        found, example = water_fat(one.signal, one.times_ms, one.field_t), example_of([one])
        inside, (water, fat, r2star, b0) = shines(example)[0] > LEAST_SHINE, (truth[0] for truth in example.truth)
        pdff = 100 * fat.abs() / (water.abs() + fat.abs()).clamp(min=1e-6)
        apart = torch.stack((found.pdff - pdff, found.r2star - r2star, found.b0 - b0))
        errors.append(apart[:, inside])
    return list(torch.cat(errors, 1))


def _means(prefix: str, errors: Sequence[Tensor]) -> dict[str, float]:
    names = "pdff", "r2star", "b0"
    return {f"{prefix}{name}": float(error.abs().mean()) for name, error in zip(names, errors, strict=True)}
