"""The phase between both polarities told by the image itself: the one whose image is the most orderly."""

from __future__ import annotations

from math import pi

import torch
from torch import Tensor

FARTHEST = 3.0  # samples along kx between readouts of both ways: a steeper slope is not searched for
STEP = 0.1  # of them
N_OFFSETS = 16  # over half a turn
N_ROUNDS = 14  # each looks at 5 × 5 candidates around the best one, half as far apart as the round before


def entropy_phase(
    positive: Tensor, negative: Tensor, *, everywhere: bool, alternates: bool = True, near: float | None = None
) -> tuple[float, float]:
    """Return slope and offset, in radians per pixel and radians, that make the image of both polarities least spread.

    `positive`, `negative` complex `(coil, y, x)`: images of the rows of each polarity alone, zero between them. Their
    sum with phase φ between them has the power S + 2·Re(C e^{iφ}), S and C being sums over coils, so that a candidate
    costs the same however many coils there are. `everywhere`: search slopes up to `FARTHEST` samples and all offsets,
    otherwise around zero. Where rows of both polarities take turns (`alternates`), offsets half a turn apart give the
    same image, elsewhere: the one nearest to `near` is taken; without that the smaller one, or, where neither is small,
    the one whose energy lies in the middle.

    Entropy: Clare, Iterative Nyquist ghost correction for single and multi-shot EPI, ISMRM 2003.
    """
    total = (positive.abs().square() + negative.abs().square()).sum(0).double()
    cross = 2 * (positive.conj() * negative).sum(0).to(torch.complex128)
    n_pixels = total.shape[-1]
    sample = 2 * pi / n_pixels
    slopes, offsets = torch.zeros(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    if everywhere:
        n_steps = round(FARTHEST / STEP)
        slopes = torch.arange(-n_steps, n_steps + 1, dtype=torch.float64) * STEP * sample
        offsets = torch.arange(N_OFFSETS * (1 if alternates else 2), dtype=torch.float64) * (pi / N_OFFSETS)
    best = _best(total, cross, slopes, offsets)
    around, step = torch.arange(-2, 3, dtype=torch.float64), (STEP * sample, pi / N_OFFSETS)
    for _ in range(N_ROUNDS):
        best = _best(total, cross, best[0] + around * step[0], best[1] + around * step[1])
        step = step[0] / 2, step[1] / 2
    slope, offset = best
    if not everywhere:
        return slope, offset
    if not alternates:
        return slope, (offset + pi) % (2 * pi) - pi
    offset = (offset - (near or 0.0) + pi / 2) % pi - pi / 2 + (near or 0.0)
    if near is None and abs(offset) > pi / 4:
        power = _power(total, cross, torch.tensor([slope]), torch.tensor([offset]))[0, 0]
        if not _is_central(power):
            offset += pi if offset < 0 else -pi
    return slope, offset


def _power(total: Tensor, cross: Tensor, slopes: Tensor, offsets: Tensor) -> Tensor:
    """Power of the image for every slope and offset, `(slope, offset, y, x)`."""
    n_pixels = total.shape[-1]
    x = torch.arange(n_pixels, dtype=torch.float64) - n_pixels // 2
    phase = slopes[:, None, None].double() * x + offsets[:, None].double()
    turned = cross.real * phase.cos()[..., None, :] - cross.imag * phase.sin()[..., None, :]
    return (total + turned).clamp(min=0)


def _best(total: Tensor, cross: Tensor, slopes: Tensor, offsets: Tensor) -> tuple[float, float]:
    """The candidate of the least entropy of magnitudes."""
    energy = total.sum().clamp(min=torch.finfo(torch.float64).tiny)
    entropy = torch.stack([_entropy(_power(total, cross, slope[None], offsets)[0] / energy) for slope in slopes])
    at = int(entropy.argmin())
    return float(slopes[at // len(offsets)]), float(offsets[at % len(offsets)])


def _entropy(share: Tensor) -> Tensor:
    """Entropy of the magnitudes, whose squares `share` `(..., y, x)` sum up to one."""
    return -(share.sqrt() * share.clamp(min=1e-30).log() / 2).sum((-2, -1))


def _is_central(power: Tensor) -> bool:
    """Whether most of the energy lies in the middle half of the rows."""
    n_rows = power.shape[-2]
    return bool(power[n_rows // 4 : n_rows - n_rows // 4].sum() * 2 >= power.sum())
