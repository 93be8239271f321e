"""Supervision along radial trajectories: by all spokes, by a sector of them, by those not seen, by the centre alone.

A sector is the band of radial scans: all radii within an angle Δθ = 180° over `band_acceleration`. Every sample lies
in the share Δθ/180° of all sectors, the centre as often as the rim: the weight W = 1/E is the same everywhere, and
needs no cap. What else a sample counts is the area of k-space that it stands for, its density.

Of spirals, adjacent interleaves are such a sector, wound up: Δθ = 360° over `band_acceleration`. Read interleaf for
spoke. Interleaves apart leave gaps everywhere: an undersampled scan, that only samples not seen can judge.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from kband_core.losses import normalised_loss
from kband_core.operators import EncodingOperator
from kband_core.sampling import Grid
from kband_core.shot_angles import shot_angles
from kband_core.shots import RIM
from kband_core.training.acquired import Acquired
from kband_core.training.dataset import Plane
from kband_core.training.example import Example, make_example
from kband_core.training.spoke_drawing import SpokeDrawing
from kband_core.training.supervision.contract import Supervision
from kband_core.training.supervision.limited import Limited
from kband_core.training.supervision.supervised import Supervised


@dataclass(frozen=True, kw_only=True)
class AlongSpokes(Supervision):
    """Spokes are left out as `undersampling` draws them, where there are as many as Nyquist asks for."""

    drawing: ClassVar[type] = SpokeDrawing
    undersampling: SpokeDrawing = field(default_factory=SpokeDrawing)

    def sampled(self, plane: Plane, rng: torch.Generator) -> Grid:
        if not self.draws_from(plane.acquired):
            return plane.acquired.sampling
        if plane.trajectory is None:
            raise ValueError(
                f"slice {plane.slice} of subject {plane.subject} lies on a grid, and has no spokes; planes of radial "
                "scans expected"
            )
        drawn = self.undersampling.draw(plane.trajectory.coords, tuple(plane.csm.shape[-2:]), rng)
        return drawn.within(plane.mask)


@dataclass(frozen=True, kw_only=True)
class Spokes(AlongSpokes, Supervised):
    """Judge by all spokes."""


@dataclass(frozen=True, kw_only=True)
class Sectors(AlongSpokes, Limited):
    """K-band of radial scans: see and judge by the sector around the angle of the scan alone.

    `decoupled` shows the network spokes from outside the sector too: only possible where all were acquired, and the one
    case in which the weighted loss is unbiased to the letter.
    """

    decoupled: bool = False

    def __call__(self, plane: Plane, rng: torch.Generator, angle: float | None = None) -> Example:
        sampled, angle = self.sampled(plane, rng), self.angle_of(plane, angle)
        angles, turn = shot_angles(plane.trajectory.coords)
        if plane.angle is None:
            angle *= turn / 180  # drawn from half a turn
        width = turn / self.band_acceleration
        away = (angles - angle + width / 2) % turn
        sector = (away < width)[:, None]
        seen = sampled.within(sector)
        if not seen.mask.any():  # a sector without a spoke of the scan: its middle one
            middle = torch.zeros_like(sector)
            middle[(away - width / 2).abs().argmin()] = True
            seen = Grid(middle & plane.mask)
        judged = self.band_acceleration * (plane.mask & sector)
        seen = sampled if self.decoupled else seen
        return make_example(plane, seen, judged, seen)


@dataclass(frozen=True, kw_only=True)
class Rings(AlongSpokes, Limited):
    """See and judge by the central disc that has the area of a sector: it never sees the rim, whatever the scan."""

    def __call__(self, plane: Plane, rng: torch.Generator, angle: float | None = None) -> Example:
        sampled = self.sampled(plane, rng)
        radius = torch.linalg.vector_norm(plane.trajectory.coords, dim=-1)
        disc = radius <= RIM / math.sqrt(self.band_acceleration)
        return make_example(plane, sampled.within(disc), plane.mask & disc, sampled)


@dataclass(frozen=True, kw_only=True)
class SpokesSsdu(AlongSpokes):
    """SSDU along spokes: judge by a random `fraction` of the spokes of a scan, which the network does not see.

    The spokes of a scan are drawn once and for all, from its own k-space; the split is drawn anew.

    Yaman et al., Self-supervised learning of physics-guided reconstruction, MRM 84:3172 (2020).
    """

    fraction: float = 0.4

    def draws_from(self, acquired: Acquired) -> bool:
        return acquired.is_gapless

    def __post_init__(self) -> None:
        if not 0 < self.fraction < 1:
            raise ValueError(f"fraction: {self.fraction:g}, more than 0 and less than 1 expected")

    def __call__(self, plane: Plane, rng: torch.Generator, angle: float | None = None) -> Example:
        first = plane.kspace[:, 0].cpu().numpy().tobytes()
        acquired = self.sampled(plane, torch.Generator().manual_seed(zlib.crc32(first)))
        shots = acquired.lines().nonzero().flatten()
        if len(shots) < 2:
            raise ValueError(f"ssdu: {len(shots)} spokes cannot be split; lower spoke_acceleration")
        n_judged = min(max(round(self.fraction * len(shots)), 1), len(shots) - 1)
        judged = torch.zeros_like(acquired.mask)
        judged[shots[torch.randperm(len(shots), generator=rng)[:n_judged]]] = True
        seen = acquired.within(~judged)
        return make_example(plane, seen, judged, acquired, scaled_by=acquired)

    def loss(self, image: Tensor, operator: EncodingOperator, target: Tensor, weight: Tensor) -> Tensor:
        return normalised_loss(image, operator, target, weight)
