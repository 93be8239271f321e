"""Gradient steps of RAKI: from random layers down the error of the calibration lines."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from kband_core.footprint import balancing_weights, calibration_columns, calibration_targets, crop_samples, normalised
from kband_core.raki.closed_form import KERNEL, LAST_SAMPLES, Windows, hidden_columns, random_weights


class TimeBudgetExceeded(ValueError):
    """Training was stopped after `n_done` steps; `layers` are what it had reached."""

    def __init__(self, message: str, layers: tuple[Tensor, ...], n_done: int) -> None:
        super().__init__(message)
        self.layers, self.n_done = layers, n_done


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
            _check_budget(time_budget, start, tuple(layers), n_done, len(rates))
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


def _check_budget(time_budget: float, start: float, layers: tuple[Tensor, ...], n_done: int, n_epochs: int) -> None:
    if layers[0].is_cuda:
        torch.cuda.synchronize(layers[0].device)  # kernels are queued: without it the clock would only see their launch
    seconds = time.perf_counter() - start
    if seconds > time_budget:
        raise TimeBudgetExceeded(
            f"fit_raki: {n_done} of {n_epochs} epochs in {seconds:.2f} s, but the budget is {time_budget:g} s",
            layers,
            n_done,
        )
