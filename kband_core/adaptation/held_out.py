"""Which of a scan's own lines judge a network, and which it learns to predict from the others."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from kband_core.sampling import Grid

CENTRE = 16  # lines that stay: the fewest that the networks that ship have seen
JUDGING = 0.2  # of the lines beyond them
PREDICTED = 0.3  # of the rest, each time
FEWEST = 8  # lines beyond the centre: of fewer, one would judge


@dataclass(frozen=True)
class HeldOut:
    """Lines `(ky, 1)`, bool: those that only judge, Γ, and again and again others to predict, Λ.

    Yaman et al., Zero-shot self-supervised learning for MRI reconstruction, ICLR 2022; theirs are samples, not lines.
    """

    judging: Tensor
    predicted: tuple[Tensor, ...]


def hold_out(sampling: Grid, n_times: int, *, rng: torch.Generator) -> HeldOut:
    """Draw them among the acquired lines beyond the central 16, of which a network needs each.

    Lines, since lines are what a scan leaves out: to predict samples from others of the same line is another task, and
    who gains there may lose here. Raises `ValueError` where fewer than eight lines lie beyond the centre.
    """
    lines = sampling.here().lines().cpu()
    rows = torch.arange(len(lines)) - len(lines) // 2
    beyond = (lines & ((rows < -CENTRE // 2) | (rows >= CENTRE // 2))).nonzero().flatten()
    if len(beyond) < FEWEST:
        raise ValueError(f"{len(beyond)} lines beyond the central {CENTRE}, {FEWEST} needed to learn from")
    shuffled = beyond[torch.randperm(len(beyond), generator=rng)]
    n_judging = round(JUDGING * len(beyond))
    rest = shuffled[n_judging:]
    n_predicted = round(PREDICTED * len(rest))
    drawn = (rest[torch.randperm(len(rest), generator=rng)[:n_predicted]] for _ in range(n_times))
    device = sampling.mask.device
    return HeldOut(
        _mask(shuffled[:n_judging], len(lines)).to(device),
        tuple(_mask(some, len(lines)).to(device) for some in drawn),
    )


def _mask(rows: Tensor, n_lines: int) -> Tensor:
    mask = torch.zeros(n_lines, 1, dtype=torch.bool)
    mask[rows] = True
    return mask
