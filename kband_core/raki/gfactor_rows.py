"""Gram matrices of the derivatives of hidden channels by the acquired samples."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from kband_core.raki.image_space import centred_taps, tap_phases

LARGEST_BLOCK = 1 << 24  # complex numbers in memory at once
Derivative = tuple[Tensor, Tensor | None]


def gram_by_rows(
    layers: Sequence[Tensor], derivatives: Sequence[Derivative], groups: Tensor, angles: Tensor
) -> tuple[Tensor, Tensor]:
    """Σ_k YᴴY and Σ_k Y for any number of hidden layers, at the x positions `angles`.

    Y(k, r_x) = Σ_s e^{−is·r_x} A_s(k−s), with A = W₁ᵀ diag(m₁) W₂ᵀ diag(m₂) … at each sample, or its two parts where
    the activations are not complex-linear; the part that takes dx* adds to the first sum only. Layers are those with
    an activation behind them; k runs over the samples of `groups`.

    Returns `(..., angle, tap·channel, tap·channel)` and `(..., angle, coil, tap·channel)`.
    """
    first = layers[0]
    n_coils, n_lines, n_samples = first.shape[-3:]
    n_columns = derivatives[0][0].shape[-1]
    taps = centred_taps(n_samples, n_samples // 2, first)
    column = (torch.arange(n_columns, device=first.device)[:, None] - taps) % n_columns
    sample = torch.arange(n_samples, device=first.device)
    phases = tap_phases(angles, -taps).mT  # (angle, sample)

    n_slices = derivatives[0][0][..., 0, 0, 0].numel()
    row_size = n_slices * n_columns * n_coils * layers[-1].shape[-4] * n_lines * len(angles)
    gram, summed = 0, 0
    for block in groups.split(max(1, LARGEST_BLOCK // row_size)):
        parts: list[list[Tensor]] = []
        for tap in range(n_lines):
            source = (block - tap + (n_lines - 1) // 2) % derivatives[0][0].shape[-2]
            rows = _rows(layers, derivatives, tap, source)
            rows = [row[..., column, sample, :, :] for row in rows]  # each tap's, where its source is
            parts.append([torch.einsum("fs,...gksic->...fgkic", phases, row) for row in rows])
        for number, part in enumerate(zip(*parts, strict=True)):
            joined = torch.cat(part, -1)  # (..., angle, group, kx, coil, tap·channel)
            if number == 0:
                summed = summed + joined.sum((-4, -3))
            joined = joined.flatten(-4, -2)
            gram = gram + joined.mH @ joined
    return gram, summed


def _rows(layers: Sequence[Tensor], derivatives: Sequence[Derivative], tap: int, groups: Tensor) -> list[Tensor]:
    """Derivatives of the last hidden channels at `groups` by the samples they see at one line tap.

    `(..., group, kx, sample, coil, channel)` by dx, and by dx* if the activations have such a part.
    """
    start = layers[0][..., tap, :].movedim(-3, -1).transpose(-3, -2)  # (..., sample, coil, channel)
    rows = [start[..., None, None, :, :, :]]
    for number, derivative in enumerate(derivatives):
        alpha, beta = (
            None if part is None else part.index_select(-2, groups).movedim(-3, -1)[..., None, None, :]
            for part in derivative
        )
        if number:
            weights = layers[number].flatten(-3)
            rows = [(row.flatten(-5, -2) @ weights.mT).unflatten(-2, row.shape[-5:-1]) for row in rows]
        if beta is None:
            rows = [alpha * row for row in rows]
        elif number == 0:
            rows = [alpha * rows[0], beta * rows[0].conj()]
        else:
            rows = [alpha * rows[0] + beta * rows[1].conj(), alpha * rows[1] + beta * rows[0].conj()]
    return rows


def gram_by_lags(
    layers: Sequence[Tensor], derivatives: Sequence[Derivative], groups: Tensor, angles: Tensor
) -> tuple[Tensor, Tensor]:
    """The same as `gram_by_rows` for one hidden layer, without its derivatives by every coil and tap.

    Each Fourier coefficient of YᴴY is the Gram matrix of the weights times, entry by entry, the correlation of the
    masks at that lag.
    """
    (first,), ((alpha, beta),) = layers, derivatives
    gram = _lag_gram(first, _at_taps(alpha, first, groups), angles)
    if beta is not None:
        gram = gram + _lag_gram(first.conj(), _at_taps(beta, first, groups), angles)
    n_samples = first.shape[-1]
    phases = tap_phases(angles, -centred_taps(n_samples, n_samples // 2, first))
    total = _at_taps(alpha, first, groups).sum((-2, -1)).unflatten(-1, (first.shape[-2], -1)).to(first.dtype)
    summed = torch.einsum("...cits,sf,...tc->...fitc", first, phases, total).flatten(-2)
    return gram, summed


def _at_taps(mask: Tensor, first: Tensor, groups: Tensor) -> Tensor:
    """Masks as `groups` meet them at every line tap: `(..., tap·channel, group, kx)`."""
    n_lines = first.shape[-2]
    taps = centred_taps(n_lines, (n_lines - 1) // 2, first)
    source = (groups - taps[:, None]) % mask.shape[-2]  # (tap, group)
    seen = mask.index_select(-2, source.flatten()).unflatten(-2, source.shape)
    return seen.movedim(-3, -4).flatten(-4, -3)


def _lag_gram(first: Tensor, masks: Tensor, angles: Tensor) -> Tensor:
    """Σ_lag e^{−i·lag·r_x} (weight Gram at lag) ∘ (mask correlation at lag), both signs of the lag."""
    n_samples = first.shape[-1]
    weights = first.movedim(-2, -4).flatten(-4, -3)  # (..., tap·channel, coil, sample)
    left = masks.conj().flatten(-2)
    coefficients = []
    for lag in range(n_samples):
        product = torch.einsum("...ais,...bis->...ab", weights[..., : n_samples - lag].conj(), weights[..., lag:])
        coefficients.append(product * (left @ masks.roll(lag, -1).flatten(-2).mT) / (2 if lag == 0 else 1))
    phases = tap_phases(angles, -torch.arange(n_samples, device=first.device))
    half = torch.einsum("...lab,lf->...fab", torch.stack(coefficients, -3), phases)
    return half + half.mH
