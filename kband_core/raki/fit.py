"""Train RAKI on the calibration lines of the scan it is for."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from kband_core.footprint import (
    balancing_weights,
    calibration_columns,
    calibration_targets,
    check_calibration,
    crop_samples,
    normalised,
)
from kband_core.raki.closed_form import KERNEL, LAST_SAMPLES, Windows, hidden_columns, random_weights, solve_last_layer
from kband_core.raki.network import RakiNetwork

PEAK_RATE, PUBLISHED_RATE = 1e-2, 5e-4  # learning rates of Adam, relative to data of size 1


class TimeBudgetExceeded(ValueError):
    """The fit was stopped before it had a network to return."""


def fit_raki(
    acs: Tensor,
    acceleration: int,
    *,
    rng: torch.Generator,
    hidden: Sequence[int] = (128, 64),
    slope: float = 0.5,
    n_epochs: int = 120,
    regularisation: float = 3e-4,
    windows: Windows = "equal",
    time_budget: float | None = None,
) -> RakiNetwork:
    """Fit a complex network to every window of the ACS `(..., coil, ky, kx)`; each slice gets its own.

    Ours: Adam up to 1e-2 and down again, each step on every other line of windows, then the last layer and a linear
    path beside the network in one solution of the normal equations, λ `regularisation` times the mean of their
    diagonal. Slices start from the same random weights, so that a slice does not depend on those beside it.

    hidden: channels of the hidden layers. windows: "equal" as published, best where the network also predicts the ACS
    lines; "balanced", ours, where measured ACS lines are put back: it weighs windows as `calibrate_grappa` does, which
    teaches outer k-space too; 1e-2 then suits `regularisation`. time_budget: seconds, looked at between epochs;
    `TimeBudgetExceeded` when they are over. `rng` may live on another device than the ACS.

    Akçakaya et al., RAKI, MRM 81:439 (2019); Dawood et al., arXiv 2402.17410, for the complex network.
    """
    layers = _random_layers("fit_raki", acs, acceleration, hidden, rng)
    rates = rise_and_fall(PEAK_RATE, n_epochs)
    layers = train(
        acs, acceleration, layers, slope=slope, rates=rates, time_budget=time_budget, windows=windows, n_parts=2
    )
    return solve_last_layer(
        acs, acceleration, layers[:-1], LAST_SAMPLES, slope=slope, regularisation=regularisation, windows=windows
    )


def fit_raki_as_published(
    acs: Tensor,
    acceleration: int,
    *,
    rng: torch.Generator,
    hidden: Sequence[int] = (256, 128),
    slope: float = 0.5,
    n_epochs: int = 500,
    time_budget: float | None = None,
) -> RakiNetwork:
    """Fit the same network by Adam at 5e-4 alone, in as many epochs as published, without a linear path.

    With 256 and 128 channels the published errors are met. Arguments as of `fit_raki`.
    """
    layers = _random_layers("fit_raki_as_published", acs, acceleration, hidden, rng)
    rates = n_epochs * [PUBLISHED_RATE]
    layers = train(acs, acceleration, layers, slope=slope, rates=rates, time_budget=time_budget)
    return RakiNetwork(layers, slope, acceleration)


def refit_raki(
    network: RakiNetwork, acs: Tensor, *, regularisation: float = 3e-4, windows: Windows = "equal"
) -> RakiNetwork:
    """Take the hidden layers of a neighbouring slice as they are: they describe coils, and these change slowly.

    The last layer and the linear path are solved for, as in `fit_raki`.
    """
    first, last_samples, acceleration = network.layers[0], network.layers[-1].shape[-1], network.acceleration
    n_lines, n_samples = first.shape[-2], first.shape[-1] + last_samples - 1
    check_calibration("refit_raki", acs, acceleration, n_lines=n_lines, n_samples=n_samples)
    if network.n_coils != acs.shape[-3] or len(network.layers) < 2:
        raise ValueError(
            f"refit_raki: {len(network.layers)} layers for {network.n_coils} coils, but the ACS has {acs.shape[-3]} "
            "coils; hidden layers of as many coils needed"
        )
    return solve_last_layer(
        acs, acceleration, network.layers[:-1], last_samples,
        slope=network.slope, regularisation=regularisation, windows=windows,
    )  # fmt: skip


def train(
    acs: Tensor,
    acceleration: int,
    layers: Sequence[Tensor],
    *,
    slope: float,
    rates: Sequence[float],
    time_budget: float | None = None,
    windows: Windows = "equal",
    n_parts: int = 1,
) -> tuple[Tensor, ...]:
    """Descend from `layers` with Adam, one step for each learning rate in `rates`.

    A step sees every `n_parts`-th line of windows, in turn; by default all of them, an epoch.

    The loss is mean |Re error|² + mean |Im error|² of each slice. Adam works on every weight alone, so the slices'
    sum of losses trains each slice as if it were the only one.
    """
    acs, kernel = normalised(acs), tuple(layers[0].shape[-2:])
    sources = calibration_columns(acs, acceleration, kernel)
    n_offsets = layers[-1].shape[-4] // acs.shape[-3]
    later = [layer.shape[-1] for layer in layers[1:]]
    targets = calibration_targets(acs, acceleration, kernel, n_offsets, later=later)
    weights = balancing_weights(crop_samples(sources, later)) if windows == "balanced" else None
    n_parts = min(n_parts, targets.shape[-2])
    layers = [layer.clone() for layer in layers]
    optimiser = torch.optim.Adam(layers)
    start = time.perf_counter()
    for n_done, rate in enumerate(rates, start=1):
        part = slice(n_done % n_parts, None, n_parts)
        batch = (None if array is None else array[..., part, :] for array in (sources, targets, weights))
        for layer, gradient in zip(layers, _gradients(layers, *batch, slope=slope), strict=True):
            layer.grad = gradient
        optimiser.param_groups[0]["lr"] = rate
        optimiser.step()
        if time_budget is not None and n_done < len(rates):
            _check_budget(time_budget, start, n_done, len(rates), acs.device)
    return tuple(layers)


def initial_layers(
    acs: Tensor,
    acceleration: int,
    *,
    rng: torch.Generator,
    hidden: Sequence[int],
    kernel: tuple[int, int] = KERNEL,
) -> tuple[Tensor, ...]:
    """Random layers, the same for every slice: real and imaginary parts uniform within ±1/√(inputs of a channel)."""
    n_coils = acs.shape[-3]
    middle = [(n_out, n_in, 1, 1) for n_in, n_out in pairwise(hidden)]
    shapes = [(hidden[0], n_coils, *kernel), *middle, (n_coils * (acceleration - 1), hidden[-1], 1, LAST_SAMPLES)]
    layers = [random_weights(shape, rng, acs) / math.prod(shape[1:]) ** 0.5 for shape in shapes]
    return tuple(layer.expand(*acs.shape[:-3], *layer.shape) for layer in layers)


def rise_and_fall(peak: float, n_epochs: int) -> list[float]:
    """Learning rates that rise from `peak`/25 over the first 30 % and fall to nearly zero, along half cosines.

    Smith and Topin, Super-convergence, arXiv 1708.07120.
    """
    rise = max(round(0.3 * n_epochs), 1)
    rising = [1 / 25 + (24 / 25) * (1 - math.cos(math.pi * epoch / rise)) / 2 for epoch in range(rise)]
    n_falling = n_epochs - rise
    falling = [(1 + math.cos(math.pi * epoch / max(n_falling, 1))) / 2 for epoch in range(n_falling)]
    return [peak * rate for rate in (rising + falling)[:n_epochs]]


def _random_layers(
    who: str, acs: Tensor, acceleration: int, hidden: Sequence[int], rng: torch.Generator
) -> tuple[Tensor, ...]:
    if not hidden:
        raise ValueError(f"{who}: 0 hidden layers, at least 1 needed; a linear kernel is calibrate_grappa")
    check_calibration(who, acs, acceleration, n_lines=KERNEL[0], n_samples=KERNEL[1] + LAST_SAMPLES - 1)
    return initial_layers(acs, acceleration, rng=rng, hidden=hidden)


def _gradients(
    layers: Sequence[Tensor], sources: Tensor, targets: Tensor, weights: Tensor | None, *, slope: float
) -> tuple[Tensor, ...]:
    """Derivatives of each slice's loss, ∂/∂Re + i ∂/∂Im; also where the caller has turned autograd off."""
    with torch.enable_grad():
        layers = [layer.detach().requires_grad_() for layer in layers]
        columns = hidden_columns(layers[:-1], sources, layers[-1].shape[-1], slope=slope)
        error = (layers[-1].flatten(-3) @ columns.flatten(-2)).view_as(targets) - targets
        energy = torch.view_as_real(error).square().sum(-1)
        loss = (energy if weights is None else weights * energy).mean((-3, -2, -1)).sum()
        return torch.autograd.grad(loss, layers)


def _check_budget(time_budget: float, start: float, n_done: int, n_epochs: int, device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)  # kernels are queued: without it the clock would only see their launch
    seconds = time.perf_counter() - start
    if seconds > time_budget:
        raise TimeBudgetExceeded(
            f"fit_raki: {n_done} of {n_epochs} epochs in {seconds:.2f} s, but the budget is {time_budget:g} s"
        )
