"""Train RAKI on the calibration lines of the scan it is for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from kband_core.footprint import check_calibration
from kband_core.plural import counted
from kband_core.raki.closed_form import (
    KERNEL,
    LAST_SAMPLES,
    SHARES,
    Windows,
    faintness,
    scale_last,
    solve_last_layer,
    window_columns,
)
from kband_core.raki.network import RakiNetwork
from kband_core.raki.training import TimeBudgetExceeded, initial_layers, rise_and_fall, train

PEAK_RATE, PUBLISHED_RATE = 1e-2, 5e-4  # learning rates of Adam, relative to data of size 1


EPOCHS = {"equal": 120, "balanced": 60}
OUTER = 8  # of as many rows of windows, the one at either end judges the network and does not train it


def fit_raki(
    acs: Tensor,
    acceleration: int,
    *,
    rng: torch.Generator,
    hidden: Sequence[int] = (128, 64),
    slope: float = 0.5,
    n_epochs: int | None = None,
    regularisation: float = 3e-4,
    windows: Windows = "equal",
    time_budget: float | None = None,
) -> RakiNetwork:
    """Fit a complex network to every window of the ACS `(..., coil, ky, kx)`; each slice gets its own.

    Ours: Adam up to 1e-2 and down again, each step on every other line of windows, then the last layer and a linear
    path beside the network in one solution of the normal equations. Slices start from the same random weights, so that
    a slice does not depend on those beside it.

    hidden: channels of the hidden layers. windows: "equal" as published, best where the network also predicts the ACS
    lines; λ is `regularisation` times the mean diagonal of the normal matrix. "balanced", ours, where measured ACS
    lines are put back: it weighs windows as `calibrate_grappa` does, which teaches outer k-space too, and makes the
    network a correction of the linear path, which is GRAPPA's kernel: λ, best 1e-2 then, counts in the mean energy of
    that path's inputs. The outermost windows do not train the hidden layers; they tell how faint these must be to help.
    time_budget: seconds of training, looked at between epochs; when they are over, the hidden layers are taken as they
    are by then, and `cut_short` tells. `rng` may live on another device than the ACS.

    Akçakaya et al., RAKI, MRM 81:439 (2019); Dawood et al., arXiv 2402.17410, for the complex network.
    """
    layers = _random_layers("fit_raki", acs, acceleration, hidden, rng)
    n_epochs = EPOCHS[windows] if n_epochs is None else n_epochs
    n_rows = acs.shape[-2] - (KERNEL[0] - 1) * acceleration
    n_outer = n_rows // OUTER if windows == "balanced" else 0
    inner = acs[..., n_outer : acs.shape[-2] - n_outer, :]
    rates, cut_short = rise_and_fall(PEAK_RATE, n_epochs), None
    try:
        layers = train(
            inner, acceleration, layers, slope=slope, rates=rates, time_budget=time_budget, windows=windows, n_parts=2
        )
    except TimeBudgetExceeded as over:
        layers, cut_short = over.layers, (over.n_done, n_epochs)
    trained = layers[:-1]
    if windows == "balanced":
        trained = _judged(acs, acceleration, trained, n_outer, slope=slope, regularisation=regularisation)
    network = solve_last_layer(
        acs, acceleration, trained, LAST_SAMPLES, slope=slope, regularisation=regularisation, windows=windows
    )
    return replace(network, cut_short=cut_short)


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

    With 256 and 128 channels the published errors are met. Arguments as of `fit_raki`; raises `TimeBudgetExceeded`.
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
            f"refit_raki: {counted(len(network.layers), 'layer')} for {counted(network.n_coils, 'coil')}, "
            f"but the ACS has {counted(acs.shape[-3], 'coil')}; hidden layers of as many coils needed"
        )
    refitted = solve_last_layer(
        acs, acceleration, network.layers[:-1], last_samples,
        slope=network.slope, regularisation=regularisation, windows=windows,
    )  # fmt: skip
    return replace(refitted, cut_short=network.cut_short)


def _random_layers(
    who: str, acs: Tensor, acceleration: int, hidden: Sequence[int], rng: torch.Generator
) -> tuple[Tensor, ...]:
    if not hidden:
        raise ValueError(f"{who}: 0 hidden layers, at least 1 needed; a linear kernel is calibrate_grappa")
    check_calibration(who, acs, acceleration, n_lines=KERNEL[0], n_samples=KERNEL[1] + LAST_SAMPLES - 1)
    return initial_layers(acs, acceleration, rng=rng, hidden=hidden)


def _judged(
    acs: Tensor, acceleration: int, hidden: Sequence[Tensor], n_outer: int, *, slope: float, regularisation: float
) -> tuple[Tensor, ...]:
    """Make hidden layers as faint as serves the `n_outer` rows of windows at either end, for which neither they were
    trained nor the last layer is solved here. Where there are none, they get little say."""
    columns = window_columns(acs, acceleration, hidden, LAST_SAMPLES, slope=slope, windows="balanced")
    factors, missed = [faintness(columns, share) for share in SHARES], []
    if n_outer == 0:
        return scale_last(hidden, factors[-1])
    for factor in factors:
        scaled = columns.scaled(factor)
        by_row = scaled.missed(scaled.solve(regularisation, slice(n_outer, -n_outer)))
        missed.append(by_row[..., :n_outer].sum(-1) + by_row[..., -n_outer:].sum(-1))
    best = torch.stack(missed).argmin(0, keepdim=True)
    return scale_last(hidden, torch.stack(factors).gather(0, best)[0])
