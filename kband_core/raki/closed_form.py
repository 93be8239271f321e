"""The last layer of RAKI without gradient steps, and with random first layers all of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from kband_core.footprint import (
    balancing_weights,
    calibration_columns,
    calibration_targets,
    check_calibration,
    crop_samples,
    normalised,
    sample_columns,
)
from kband_core.raki.network import RakiNetwork, complex_leaky_relu
from kband_core.solvers import ridge

KERNEL, LAST_SAMPLES = (2, 5), 5  # lines and samples that the first layer sees, samples that the last one sees
Windows = Literal["equal", "balanced"]


def fit_raki_rf(
    acs: Tensor,
    acceleration: int,
    *,
    rng: torch.Generator,
    n_features: int = 384,
    slope: float = 0.5,
    regularisation: float = 1e-3,
    windows: Windows = "equal",
) -> RakiNetwork:
    """Fit only the last layer and a linear path beside a layer of random weights: ridge regression, no iterations.

    The random features bend where the trained ones of RAKI do, at positive homogeneity. Ours, not a published method.
    λ is `regularisation` times the mean of the diagonal of the normal matrix; `windows` as in `fit_raki`.
    acs `(..., coil, ky, kx)`; slices share the random layer.
    """
    check_calibration("fit_raki_rf", acs, acceleration, n_lines=KERNEL[0], n_samples=KERNEL[1] + LAST_SAMPLES - 1)
    fan_in = acs.shape[-3] * KERNEL[0] * KERNEL[1]
    first = random_weights((n_features, acs.shape[-3], *KERNEL), rng, acs, gaussian=True) / fan_in**0.5
    return solve_last_layer(
        acs, acceleration, (first,), LAST_SAMPLES, slope=slope, regularisation=regularisation, windows=windows
    )


def solve_last_layer(
    acs: Tensor,
    acceleration: int,
    hidden: Sequence[Tensor],
    last_samples: int,
    *,
    slope: float,
    regularisation: float,
    windows: Windows = "equal",
) -> RakiNetwork:
    """Complete hidden layers with the last layer and the linear path of least squared error on the ACS.

    One system of normal equations for both: single precision products, solved in double precision.
    """
    acs, kernel = normalised(acs), tuple(hidden[0].shape[-2:])
    later = (*(layer.shape[-1] for layer in hidden[1:]), last_samples)
    sources = calibration_columns(acs, acceleration, kernel)
    features = hidden_columns(hidden, sources, last_samples, slope=slope)
    linear = crop_samples(sources, later)
    targets = calibration_targets(acs, acceleration, kernel, acceleration - 1, later=later)
    n_features = features.shape[-3]
    columns = torch.cat([features, linear.expand(*features.shape[:-3], *linear.shape[-3:])], -3)
    if windows == "balanced":
        root = balancing_weights(linear).sqrt()
        columns, targets = columns * root, targets * root
    weights = ridge("fit_raki", columns.flatten(-2), targets.flatten(-2), regularisation=regularisation)
    last = weights[..., :n_features].unflatten(-1, (-1, 1, last_samples))
    skip = weights[..., n_features:].unflatten(-1, (-1, *kernel))
    return RakiNetwork((*hidden, last), slope, acceleration, skip=skip)


def hidden_columns(hidden: Sequence[Tensor], sources: Tensor, last_samples: int, *, slope: float) -> Tensor:
    """What the last layer sees of calibration windows: columns `(..., channel·sample, window, kx)`."""
    columns = sources
    n_samples = (*(layer.shape[-1] for layer in hidden[1:]), last_samples)
    for layer, samples in zip(hidden, n_samples, strict=True):
        channels = complex_leaky_relu(layer.flatten(-3) @ columns.flatten(-2), slope)
        columns = sample_columns(channels.unflatten(-1, columns.shape[-2:]), samples)
    return columns


def random_weights(shape: Sequence[int], rng: torch.Generator, like: Tensor, *, gaussian: bool = False) -> Tensor:
    """Weights whose real and imaginary parts are standard normal, or uniform within ±1; drawn where `rng` lives."""
    parts = torch.empty(*shape, 2, device=rng.device)
    parts = parts.normal_(generator=rng) if gaussian else parts.uniform_(-1, 1, generator=rng)
    return like.new_empty(shape).copy_(torch.view_as_complex(parts))
