"""Projections: the inverse transform of each spoke, on pixels that do not depend on how it was sampled.

By the central-slice theorem the transform of a spoke through the centre of k-space is the projection of the object onto
its direction. Lengths are in fields of view, of the larger side of the matrix; k in cycles per field of view.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from kband_core.shot_angles import spoke_angles

PIXELS = 120  # of a projection
EXTENT = 1.25  # fields of view that they cover: what a square one shows of its corners lies within 1.42
ALIKE = 1e-3  # cycles per field of view: where samples may differ from spoke to spoke and count as the same
BAND = PIXELS / EXTENT / 2  # cycles per field of view: the largest |k| that such pixels hold


@dataclass(frozen=True)
class Spokes:
    """Spokes through the centre, all along directions between 0° and 180°: what ran the other way is read backwards.

    `angle` float32 `(spoke,)` in radians, from kx towards ky, modulo π; `k` float32 `(spoke, sample)`, the signed
    distance of samples from the centre along that direction, in cycles per field of view.
    """

    angle: Tensor
    k: Tensor

    @classmethod
    def of(cls, coords: Tensor, shape: tuple[int, int]) -> Spokes:
        """Tell it of coordinates `(spoke, sample, 2)` in cycles per pixel of a matrix `shape`.

        What late gradients move a spoke sideways is left out. Raises `ValueError` for shots that are no spokes.
        """
        angle = spoke_angles(coords.cpu()).deg2rad().float().to(coords.device)
        return cls(angle, (coords * _direction(angle)[:, None]).sum(-1) * max(shape))

    def coords(self, shape: tuple[int, int]) -> Tensor:
        """Return where samples lie, `(spoke, sample, 2)` in cycles per pixel."""
        return self.k[..., None] / max(shape) * _direction(self.angle)[:, None]

    def along(self, angle: Tensor) -> Spokes:
        """Return spokes sampled like the first of these, in other directions `(spoke,)`."""
        return Spokes(angle, self.k[:1].expand(len(angle), -1))

    @property
    def inside(self) -> Tensor:
        """Which samples projections hold: bool `(spoke, sample)`."""
        return self.k.abs() <= BAND


def to_projections(samples: Tensor, spokes: Spokes) -> Tensor:
    """Transform `(..., spoke, sample)` to projections `(..., spoke, PIXELS)`: ∫ y(k) e^{2πikr} dk within the band."""
    step = (spokes.k[:, -1] - spokes.k[:, 0]).abs() / (spokes.k.shape[1] - 1)
    weighted = samples * (spokes.inside * step[:, None])
    return _by_spoke(weighted, _waves(spokes.k, 1.0))


def to_spokes(projections: Tensor, spokes: Spokes) -> Tensor:
    """Transform projections `(..., spoke, PIXELS)` to samples `(..., spoke, sample)`, zero beyond the band."""
    return _by_spoke(projections, _waves(spokes.k, -1.0).mT) * spokes.inside * (EXTENT / PIXELS)


def _pixels(device: torch.device | None = None) -> Tensor:
    """Return where pixels lie, `(PIXELS,)`, symmetric about the centre: turned round, they are those of −r."""
    return (torch.arange(PIXELS, device=device) - (PIXELS - 1) / 2) * (EXTENT / PIXELS)


def _waves(k: Tensor, sign: float) -> Tensor:
    """e^{±2πikr} `(spoke, sample, PIXELS)`, or `(sample, PIXELS)` of spokes that are sampled alike, as most are."""
    if not bool((k - k[:1]).abs().max() > ALIKE):
        k = k[0]
    phase = sign * 2 * math.pi * k[..., None] * _pixels(k.device)
    return torch.polar(torch.ones_like(phase), phase)


def _by_spoke(lines: Tensor, waves: Tensor) -> Tensor:
    return lines @ waves if waves.ndim == 2 else (lines[..., None, :] @ waves).squeeze(-2)


def _direction(angle: Tensor) -> Tensor:
    """Unit vectors `(spoke, 2)`, y before x."""
    return torch.stack((angle.sin(), angle.cos()), -1)
