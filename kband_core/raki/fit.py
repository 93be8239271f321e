"""Train RAKI on the calibration lines of the scan it is for."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

from kband_core.raki.closed_form import random_weights, solve_last_layer
from kband_core.raki.footprint import (
    balancing_weights,
    calibration_columns,
    calibration_targets,
    check_calibration,
    crop_samples,
    normalised,
    sample_columns,
)
from kband_core.raki.network import RakiNetwork, complex_leaky_relu

WIDTHS = {"paper": (256, 128), "fast": (128, 64)}


class TimeBudgetExceeded(ValueError):
    """The fit was stopped before it had a network to return."""


def fit_raki(
    acs: Tensor,
    acceleration: int,
    *,
    rng: torch.Generator,
    schedule: Literal["paper", "fast"] = "fast",
    hidden: Sequence[int] | None = None,
    kernel: tuple[int, int] = (2, 5),
    last_samples: int = 5,
    slope: float = 0.5,
    n_epochs: int | None = None,
    regularisation: float = 3e-4,
    time_budget: float | None = None,
    warm_start: RakiNetwork | None = None,
    windows: Literal["equal", "balanced"] = "equal",
) -> RakiNetwork:
    """Fit a complex network to every window of the ACS `(..., coil, ky, kx)`; each slice gets its own.

    "paper": Adam at 5e-4 for 500 epochs, no linear path. "fast", ours: Adam up to 1e-2 and down again in 120 steps,
    each on every other line of windows, then the last layer and a linear path beside the network in one solution of
    the normal equations, λ `regularisation` times the mean of their diagonal. Slices start from the same random
    weights, so that a slice does not depend on those beside it.

    windows: "equal" as published, best where the network also predicts the ACS lines. "balanced", ours, where measured
    ACS lines are put back: it weighs windows as `calibrate_grappa` does, so that outer k-space is learnt too; 1e-2
    then suits `regularisation`.

    hidden: channels of the hidden layers; by default 256 and 128 for "paper", the widths with which the published
    errors are met, and 128 and 64 for "fast".

    warm_start: a network of the neighbouring slice, whose hidden layers are taken as they are; only the last one is
    solved. time_budget: seconds, looked at between epochs; `TimeBudgetExceeded` when they are over. `rng` may live on
    another device than the ACS.

    Akçakaya et al., RAKI, MRM 81:439 (2019); Dawood et al., arXiv 2402.17410, for the complex network.
    """
    hidden = WIDTHS[schedule] if hidden is None else hidden
    if not hidden:
        raise ValueError("fit_raki: 0 hidden layers, at least 1 needed; a linear kernel is calibrate_grappa")
    if warm_start is not None:
        kernel, last_samples = tuple(warm_start.layers[0].shape[-2:]), warm_start.layers[-1].shape[-1]
    check_calibration("fit_raki", acs, acceleration, n_lines=kernel[0], n_samples=kernel[1] + last_samples - 1)
    if warm_start is not None:
        _check_warm_start(warm_start, acs, acceleration)
        hidden_layers, slope = warm_start.layers[:-1], warm_start.slope
        return solve_last_layer(
            acs, acceleration, hidden_layers, last_samples, slope=slope, regularisation=regularisation, windows=windows
        )
    layers = initial_layers(acs, acceleration, rng=rng, hidden=hidden, kernel=kernel, last_samples=last_samples)
    if schedule == "paper":
        rates = (500 if n_epochs is None else n_epochs) * [5e-4]
        layers = train(acs, acceleration, layers, slope=slope, rates=rates, time_budget=time_budget, windows=windows)
        return RakiNetwork(layers, slope, acceleration)
    rates = one_cycle(1e-2, 120 if n_epochs is None else n_epochs)
    layers = train(
        acs, acceleration, layers, slope=slope, rates=rates, time_budget=time_budget, windows=windows, n_parts=2
    )
    return solve_last_layer(
        acs, acceleration, layers[:-1], last_samples, slope=slope, regularisation=regularisation, windows=windows
    )


def train(
    acs: Tensor,
    acceleration: int,
    layers: Sequence[Tensor],
    *,
    slope: float,
    rates: Sequence[float],
    time_budget: float | None = None,
    windows: Literal["equal", "balanced"] = "equal",
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
    kernel: tuple[int, int],
    last_samples: int,
) -> tuple[Tensor, ...]:
    """Random layers, the same for every slice: real and imaginary parts uniform within ±1/√(inputs of a channel)."""
    n_coils = acs.shape[-3]
    middle = [(n_out, n_in, 1, 1) for n_in, n_out in pairwise(hidden)]
    shapes = [(hidden[0], n_coils, *kernel), *middle, (n_coils * (acceleration - 1), hidden[-1], 1, last_samples)]
    layers = [random_weights(shape, rng, acs) / math.prod(shape[1:]) ** 0.5 for shape in shapes]
    return tuple(layer.expand(*acs.shape[:-3], *layer.shape) for layer in layers)


def one_cycle(peak: float, n_epochs: int) -> list[float]:
    """Learning rates that rise from `peak`/25 over the first third and fall to nearly zero, along half cosines."""
    rise = max(round(0.3 * n_epochs), 1)
    rising = [1 / 25 + (24 / 25) * (1 - math.cos(math.pi * epoch / rise)) / 2 for epoch in range(rise)]
    n_falling = n_epochs - rise
    falling = [(1 + math.cos(math.pi * epoch / max(n_falling, 1))) / 2 for epoch in range(n_falling)]
    return [peak * rate for rate in (rising + falling)[:n_epochs]]


def _gradients(
    layers: Sequence[Tensor], sources: Tensor, targets: Tensor, weights: Tensor | None, *, slope: float
) -> list[Tensor]:
    """Derivatives of each slice's loss, ∂/∂Re + i ∂/∂Im, by hand: it also serves where autograd is off."""
    columns, channels = [sources], []
    for layer, following in pairwise(layers):
        channels.append((layer.flatten(-3) @ columns[-1].flatten(-2)).unflatten(-1, columns[-1].shape[-2:]))
        columns.append(sample_columns(complex_leaky_relu(channels[-1], slope), following.shape[-1]))
    error = (layers[-1].flatten(-3) @ columns[-1].flatten(-2)).unflatten(-1, columns[-1].shape[-2:]) - targets
    gradient = error * (2 / math.prod(targets.shape[-3:]))
    if weights is not None:
        gradient = gradient * weights
    gradients = []
    for n in reversed(range(len(layers))):
        gradients.append((gradient.flatten(-2) @ columns[n].flatten(-2).mH).view_as(layers[n]))
        if n > 0:
            gradient = _back_through(layers[n], gradient)
            gradient = _back_through_activation(gradient, channels[n - 1], slope)
    return gradients[::-1]


def _back_through(layer: Tensor, gradient: Tensor) -> Tensor:
    """The transposed convolution: taps in reverse, over a gradient with zeros around it."""
    margin = layer.shape[-1] - 1
    columns = sample_columns(torch.nn.functional.pad(gradient, (margin, margin)), margin + 1)
    taps = layer.squeeze(-2).flip(-1).transpose(-3, -2).conj().flatten(-2)
    return (taps @ columns.flatten(-2)).unflatten(-1, columns.shape[-2:])


def _back_through_activation(gradient: Tensor, channels: Tensor, slope: float) -> Tensor:
    if slope == 1:
        return gradient
    gradient = torch.view_as_real(gradient)
    return torch.view_as_complex(torch.where(torch.view_as_real(channels) > 0, gradient, slope * gradient))


def _check_budget(time_budget: float, start: float, n_done: int, n_epochs: int, device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)  # kernels are queued: without it the clock would only see their launch
    seconds = time.perf_counter() - start
    if seconds > time_budget:
        raise TimeBudgetExceeded(
            f"fit_raki: {n_done} of {n_epochs} epochs in {seconds:.2f} s, but the budget is {time_budget:g} s"
        )


def _check_warm_start(network: RakiNetwork, acs: Tensor, acceleration: int) -> None:
    if network.n_coils != acs.shape[-3] or network.acceleration != acceleration or len(network.layers) < 2:
        raise ValueError(
            f"fit_raki: warm start from {len(network.layers)} layers for {network.n_coils} coils at "
            f"R={network.acceleration}, but the ACS has {acs.shape[-3]} coils at R={acceleration}; hidden layers needed"
        )
