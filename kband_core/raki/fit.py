"""Train RAKI on the calibration lines of the scan it is for."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from kband_core.raki.closed_form import hidden_columns, random_weights, solve_last_layer
from kband_core.raki.footprint import calibration_columns, calibration_targets, check_calibration, crop_samples
from kband_core.raki.network import RakiNetwork


class TimeBudgetExceeded(ValueError):
    """The fit was stopped before it had a network to return."""


def fit_raki(
    acs: Tensor,
    acceleration: int,
    *,
    rng: torch.Generator,
    schedule: Literal["paper", "fast"] = "fast",
    hidden: Sequence[int] = (128, 64),
    kernel: tuple[int, int] = (2, 5),
    last_samples: int = 5,
    slope: float = 0.5,
    n_epochs: int | None = None,
    regularisation: float = 1e-3,
    time_budget: float | None = None,
    warm_start: RakiNetwork | None = None,
) -> RakiNetwork:
    """Fit a complex network to every window of the ACS `(..., coil, ky, kx)`; each slice gets its own.

    "paper": Adam at 5e-4 for 500 epochs, no linear path. "fast", ours: Adam up to 1e-2 and down again in 30 epochs,
    then the last layer and a linear path beside the network in one solution of the normal equations, λ
    `regularisation` times the mean of their diagonal. All windows are one batch; slices start from the same random
    weights, so that a slice does not depend on those beside it.

    warm_start: a network of the neighbouring slice, whose hidden layers are taken as they are; only the last one is
    solved. time_budget: seconds, looked at between epochs; `TimeBudgetExceeded` when they are over. `rng` may live on
    another device than the ACS.

    Akçakaya et al., RAKI, MRM 81:439 (2019); Dawood et al., arXiv 2402.17410, for the complex network.
    """
    n_samples = kernel[1] + last_samples - 1
    check_calibration("fit_raki", acs, acceleration, n_lines=kernel[0], n_samples=n_samples)
    acs = acs / root_mean_square(acs).clamp(min=torch.finfo(torch.float32).tiny)
    if warm_start is not None:
        _check_warm_start(warm_start, acs, acceleration)
        return solve_last_layer(
            acs, acceleration, warm_start.layers[:-1], warm_start.layers[-1].shape[-1],
            slope=warm_start.slope, regularisation=regularisation,
        )  # fmt: skip
    layers = initial_layers(
        acs, (hidden[0], acs.shape[-3], *kernel), hidden[1:], (acceleration - 1, last_samples), rng=rng
    )
    if schedule == "paper":
        rates = (500 if n_epochs is None else n_epochs) * [5e-4]
        layers = train(acs, acceleration, layers, slope=slope, rates=rates, time_budget=time_budget)
        return RakiNetwork(layers, slope, acceleration)
    rates = one_cycle(1e-2, 30 if n_epochs is None else n_epochs)
    layers = train(acs, acceleration, layers, slope=slope, rates=rates, time_budget=time_budget)
    return solve_last_layer(
        acs, acceleration, layers[:-1], last_samples, slope=slope, regularisation=regularisation
    )


def train(
    acs: Tensor,
    acceleration: int,
    layers: Sequence[Tensor],
    *,
    slope: float,
    rates: Sequence[float],
    time_budget: float | None = None,
) -> tuple[Tensor, ...]:
    """Descend from `layers` with Adam, one full-batch epoch for each learning rate in `rates`.

    The loss is mean |Re error|² + mean |Im error|² of each slice. Adam works on every weight alone, so the slices'
    sum of losses trains each slice as if it were the only one.
    """
    kernel, last_samples = tuple(layers[0].shape[-2:]), layers[-1].shape[-1]
    sources = calibration_columns(acs, acceleration, kernel)
    targets = calibration_targets(acs, acceleration, kernel, layers[-1].shape[-4] // acs.shape[-3])
    n_samples = sources.shape[-1] - last_samples + 1
    targets = crop_samples(targets, n_samples, 2 * (kernel[1] // 2 + last_samples // 2)).flatten(-2)
    layers = [layer.detach().clone().requires_grad_() for layer in layers]
    optimiser = torch.optim.Adam(layers)
    start = time.perf_counter()
    for epoch, rate in enumerate(rates):
        optimiser.param_groups[0]["lr"] = rate
        optimiser.zero_grad()
        with torch.enable_grad():
            features = hidden_columns(layers[:-1], sources, last_samples, slope=slope)
            residual = torch.view_as_real(layers[-1].flatten(-3) @ features.flatten(-2) - targets)
            loss = residual.square().sum() / targets[..., :, :].shape[-1] / targets.shape[-2]
            loss.backward()
        optimiser.step()
        if time_budget is not None:
            _check_budget(time_budget, start, epoch + 1, len(rates), acs.device)
    return tuple(layer.detach() for layer in layers)
