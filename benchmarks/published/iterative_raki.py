"""Iterative RAKI: train on a calibration block that the reconstruction itself has made larger."""

from __future__ import annotations

import torch
from torch import Tensor

from kband_core.grappa import apply_grappa, calibrate_grappa
from kband_core.raki.network import RakiNetwork, apply_raki
from kband_core.raki.training import initial_layers, train
from kband_core.sampling import Grid


def iterative_raki(
    kspace: Tensor,
    sampling: Grid,
    acceleration: int,
    acs_lines: slice,
    *,
    rng: torch.Generator,
    hidden: tuple[int, int] = (256, 128),
    kernel: tuple[int, int] = (4, 7),
    slope: float = 0.5,
    n_extended: int = 65,
    n_rounds: int | None = None,
    n_epochs: tuple[int, int] = (500, 250),
    regularisation: float = 1e-2,
) -> Tensor:
    """Fill `kspace` by a network trained on the `n_extended` central lines, first of a GRAPPA result, then of its own.

    Adam at 5e-4 for `n_epochs[0]` epochs, then rounds of `n_epochs[1]` from the weights so far, the rate falling by
    3e-5, 4e-5 or 6e-5 per round at R = 4, 5 or 6 (2e-5 below); without `n_rounds`, as long as the rate stays positive.
    Measured lines are put back in every round.

    kspace `(..., coil, ky, kx)`, zero where not measured; sampling with the ACS, which is `acs_lines`.

    Dawood et al., Iterative training of k-space interpolation networks, MRM 89:812 (2023).
    """
    grappa = calibrate_grappa(kspace[..., acs_lines, :], acceleration, regularisation=regularisation)
    filled = apply_grappa(grappa, kspace, sampling)
    first = max(kspace.shape[-2] // 2 - n_extended // 2, 0)
    extended = slice(first, first + n_extended)
    step = {4: 3e-5, 5: 4e-5, 6: 6e-5}.get(acceleration, 2e-5 if acceleration < 4 else 6e-5)
    rounds = int(5e-4 / step + 1e-6) if n_rounds is None else n_rounds
    layers = None
    for number in range(rounds + 1):
        acs = filled[..., extended, :]
        if layers is None:
            layers = initial_layers(acs, acceleration, rng=rng, hidden=hidden, kernel=kernel)
        rates = n_epochs[number > 0] * [max(5e-4 - number * step, step)]
        layers = train(acs, acceleration, layers, slope=slope, rates=rates)
        filled = apply_raki(RakiNetwork(layers, slope, acceleration), kspace, sampling)
    return filled
