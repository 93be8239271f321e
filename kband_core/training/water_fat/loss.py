"""What a network that maps water and fat is taught by: its maps, the echoes they make, and the errors it expects."""

from __future__ import annotations

import torch
from torch import Tensor

from kband_core.networks.upnet import SIGMA_UNITS, Mapped, share_of_fat
from kband_core.relaxometry.projection import synthesised
from kband_core.training.water_fat.examples import Example
from kband_core.uncertainty.laplace import laplace_loss

FULL_SIGNAL = 0.15  # of the brightest, from which on a pixel counts in full
WEIGHTS = {"amplitudes": 3.0, "maps": 0.3, "echoes": 2.0, "uncertainty": 0.1}


def map_errors(mapped: Mapped, example: Example) -> Tensor:
    """Return found minus true PDFF in %, R2* in 1/s and B0 in Hz, `(b, 3, y, x)`."""
    water, fat, r2star, b0 = example.truth
    pdff = mapped.pdff() - 100 * share_of_fat(water, fat)
    return torch.stack((pdff, mapped.r2star - r2star, mapped.b0 - b0), 1)


def shines(example: Example) -> Tensor:
    """Return from 0 to 1 how much a pixel `(b, y, x)` counts: what has no signal has no maps."""
    water, fat, *_ = example.truth
    return ((water.abs() + fat.abs()) / FULL_SIGNAL).clamp(max=1)


def water_fat_loss(mapped: Mapped, example: Example) -> Tensor:
    """Return the loss of a batch.

    Absolute errors of the amplitudes and the maps, those of the echoes that the maps make, and Laplace's law for the
    errors of the maps, which are taken as they are: to be sure must not cost accuracy.
    """
    weight, errors = shines(example), map_errors(mapped, example) / _units(mapped.sigma)
    water, fat, r2star, b0 = example.truth
    true_echoes = synthesised(example.echoes, water, fat, r2star, b0)
    made = synthesised(example.echoes, mapped.water, mapped.fat, mapped.r2star, mapped.b0)
    counted = (weight > 0.5)[:, None].expand_as(errors)
    losses = {
        "amplitudes": (mapped.water - water).abs().mean() + (mapped.fat - fat).abs().mean(),
        "maps": (weight[:, None] * errors.abs()).mean(),
        "echoes": (made - true_echoes).abs().sum() / example.echoes.counts.sum() / weight[0].numel(),
        "uncertainty": laplace_loss(errors.detach()[counted], (mapped.sigma / _units(mapped.sigma))[counted]),
    }
    return sum(WEIGHTS[name] * loss for name, loss in losses.items())


def _units(like: Tensor) -> Tensor:
    return like.new_tensor(SIGMA_UNITS)[:, None, None]
