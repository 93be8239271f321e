"""Which shots a simulated scan acquires of all that a plane has, drawn anew for every example."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from kband_core.sampling import Grid
from kband_core.shot_angles import nyquist_shots, shot_angles
from kband_core.training.undersampling import check_range, ends

Order = Literal["even", "golden", "mixed"]
GOLDEN = 0.618033989  # of a turn, half a one of spokes: 111.246° (Winkelmann 2007)


@dataclass(frozen=True, kw_only=True)
class SpokeDrawing:
    """Draw spokes, or interleaves: `spoke_acceleration`, a number or (low, high) to draw from, is those of Nyquist over
    those drawn.

    `order`: angles `even`ly from a random one on, over half a turn of spokes, or a whole one of interleaves; `golden`
    ones one after another; or `mixed`, which is either. Of a plane the shots nearest to these angles are taken. Raises
    `ValueError` for what cannot be drawn.
    """

    spoke_acceleration: float | Sequence[float] = 4.0
    order: Order = "mixed"

    def __post_init__(self) -> None:
        check_range("spoke_acceleration", self.accelerations)
        if self.order not in get_args(Order):
            raise ValueError(f"order: '{self.order}' is not one of {', '.join(get_args(Order))}")

    @property
    def accelerations(self) -> tuple[float, float]:
        """The lowest and the highest acceleration that is drawn."""
        return ends(self.spoke_acceleration)

    def draw(self, coords: Tensor, matrix: tuple[int, int], rng: torch.Generator) -> Grid:
        """Draw which of the shots `(shot, sample, 2)` are measured, for an image of `matrix`: a grid `(shot, 1)`."""
        low, high = self.accelerations
        acceleration = low + (high - low) * torch.rand((), dtype=torch.float64, generator=rng).item()
        n_shots = max(round(nyquist_shots(coords, matrix) / acceleration), 1)
        angles, turn = shot_angles(coords)
        order = self.order
        if order == "mixed":
            order = ("even", "golden")[torch.randint(2, (), generator=rng)]
        step = turn * GOLDEN if order == "golden" else turn / n_shots
        first = turn * torch.rand((), dtype=torch.float64, generator=rng)
        wanted = first + step * torch.arange(n_shots, dtype=torch.float64)
        away = (wanted[:, None] - angles + turn / 2) % turn - turn / 2
        measured = torch.zeros(len(coords), dtype=torch.bool)
        measured[away.abs().argmin(1)] = True
        return Grid(measured[:, None])
