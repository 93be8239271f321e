"""The last layer of RAKI without gradient steps, and with random first layers all of it.

Where windows are balanced, the network corrects the linear path beside it, which is GRAPPA's kernel: its features are
faint, so that the ridge they share holds back the network first. Where calibration lines show nothing like the line to
be filled, such as one of strong signal far out, the linear path prevails; otherwise the network makes it up, and flat
tissue has stripes. Where windows are equal, the ridge is that of the strong centre, and holds back all others anyway.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
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
SHARES = (1e-2, 1e-3)  # energy of faint features, that of the linear path being 1: a correction, or next to none


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
    `regularisation` and `windows` as in `fit_raki`. acs `(..., coil, ky, kx)`; slices share the random layer, up to a
    factor.
    """
    check_calibration("fit_raki_rf", acs, acceleration, n_lines=KERNEL[0], n_samples=KERNEL[1] + LAST_SAMPLES - 1)
    fan_in = acs.shape[-3] * KERNEL[0] * KERNEL[1]
    first = random_weights((n_features, acs.shape[-3], *KERNEL), rng, acs, gaussian=True) / fan_in**0.5
    hidden = (first,)
    if windows == "balanced":
        columns = window_columns(acs, acceleration, hidden, LAST_SAMPLES, slope=slope, windows=windows)
        hidden = scale_last(hidden, faintness(columns, SHARES[0]))
    return solve_last_layer(
        acs, acceleration, hidden, LAST_SAMPLES, slope=slope, regularisation=regularisation, windows=windows
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
    columns = window_columns(acs, acceleration, hidden, last_samples, slope=slope, windows=windows)
    weights = columns.solve(regularisation)
    n_features = columns.features.shape[-3]
    last = weights[..., :n_features].unflatten(-1, (-1, 1, last_samples))
    skip = weights[..., n_features:].unflatten(-1, (-1, *hidden[0].shape[-2:]))
    return RakiNetwork((*hidden, last), slope, acceleration, skip=skip)


@dataclass(frozen=True)
class WindowColumns:
    """What the last layer sees, what the linear path sees, and what both should predict: `(..., in, window, kx)` each,
    multiplied by the root of the weight of the window."""

    features: Tensor
    linear: Tensor
    targets: Tensor
    windows: Windows

    def solve(self, regularisation: float, windows: slice = slice(None)) -> Tensor:
        """Weights `(..., out, feature + linear)` that fit some windows best; λ is `regularisation` times the mean
        energy of all inputs, or where windows are balanced, and features faint, of the linear path's."""
        columns, targets = self._joined()[..., windows, :], self.targets[..., windows, :]
        share = self.linear.shape[-3] / columns.shape[-3] if self.windows == "balanced" else 1
        return ridge("fit_raki", columns.flatten(-2), targets.flatten(-2), regularisation=regularisation / share)

    def missed(self, weights: Tensor) -> Tensor:
        """Energy of the targets that the weights miss, by window: `(..., window)`."""
        columns = self._joined()
        predicted = (weights @ columns.flatten(-2)).view_as(self.targets)
        return (predicted - self.targets).abs().square().sum((-3, -1))

    def scaled(self, factor: Tensor) -> WindowColumns:
        """The same with features times `factor` `(...)`."""
        return replace(self, features=factor[..., None, None, None] * self.features)

    def _joined(self) -> Tensor:
        features = self.features
        return torch.cat([features, self.linear.expand(*features.shape[:-3], *self.linear.shape[-3:])], -3)


def window_columns(
    acs: Tensor, acceleration: int, hidden: Sequence[Tensor], last_samples: int, *, slope: float, windows: Windows
) -> WindowColumns:
    """Columns of every window of the ACS `(..., coil, ky, kx)`, behind the hidden layers and beside them."""
    acs, kernel = normalised(acs), tuple(hidden[0].shape[-2:])
    later = (*(layer.shape[-1] for layer in hidden[1:]), last_samples)
    sources = calibration_columns(acs, acceleration, kernel)
    features = hidden_columns(hidden, sources, last_samples, slope=slope)
    linear = crop_samples(sources, later)
    targets = calibration_targets(acs, acceleration, kernel, acceleration - 1, later=later)
    if windows == "equal":
        return WindowColumns(features, linear, targets, windows)
    root = balancing_weights(linear).sqrt()
    return WindowColumns(features * root, linear * root, targets * root, windows)


def faintness(columns: WindowColumns, share: float) -> Tensor:
    """The factor `(...)` of features that have `share` of the linear path's mean energy then."""
    linear, features = (c.abs().square().mean((-3, -2, -1)) for c in (columns.linear, columns.features))
    return (share * linear / features.clamp(min=torch.finfo(features.dtype).tiny)).sqrt()


def scale_last(hidden: Sequence[Tensor], factor: Tensor) -> tuple[Tensor, ...]:
    """Hidden layers, the last of them times `factor` `(...)`, and with it the features: ℂLReLU is homogeneous."""
    return (*hidden[:-1], factor[..., None, None, None, None] * hidden[-1])


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
