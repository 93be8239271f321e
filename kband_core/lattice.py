"""Lattices of lines in (kz, ky): every which row, every which partition, and a shift between rows (CAIPIRINHA)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from kband_core.sampling import OUTSIDE


@dataclass(frozen=True)
class Lattice:
    """Lines at ky ≡ p (mod Ry) and, with j = (ky − p)/Ry, at kz ≡ q + Δj (mod Rz).

    acceleration (Ry, Rz), along ky and kz; origin (p, q), shift Δ.

    Breuer et al., Controlled aliasing in volumetric parallel imaging, MRM 55:549 (2006).
    """

    acceleration: tuple[int, int]
    origin: tuple[int, int] = (0, 0)
    shift: int = 0

    def phases(self, shape: tuple[int, int], device: torch.device | None = None) -> tuple[Tensor, Tensor]:
        """Return how far each sample of `shape` (kz, ky) lies behind a line of the lattice: along ky, then along kz."""
        (along_y, along_z), (p, q) = self.acceleration, self.origin
        kz, ky = (torch.arange(n, device=device) for n in shape)
        j = torch.div(ky - p, along_y, rounding_mode="floor")
        return ((ky - p) % along_y).expand(*shape), (kz[:, None] - q - self.shift * j) % along_z

    def mask(self, shape: tuple[int, int], device: torch.device | None = None) -> Tensor:
        """Tell which samples of `shape` (kz, ky) lie on the lattice, bool."""
        behind_y, behind_z = self.phases(shape, device)
        return (behind_y == 0) & (behind_z == 0)


def fit_lattice(acquired: Tensor, acceleration: tuple[int, int]) -> Lattice:
    """Return the lattice of that `acceleration` (Ry, Rz) that holds most of the lines `acquired`, bool (kz, ky).

    Headers tell both factors, but no shift: the lines do. Where several fit alike, it is the smallest shift.
    """
    along_y, along_z = acceleration
    kz, ky = acquired.cpu().nonzero().unbind(1)
    found: list[tuple[int, Lattice]] = []
    for shift in range(along_z):
        step = kz - shift * torch.div(ky, along_y, rounding_mode="floor")
        count = torch.bincount(ky % along_y * along_z + step % along_z, minlength=along_y * along_z)
        p, q = divmod(int(count.argmax()), along_z)
        found.append((int(count.max()), Lattice(acceleration, (p, q), shift)))
    return max(found, key=lambda each: each[0])[1]


def lines_left_out(acquired: Tensor, lattice: Lattice) -> Tensor:
    """Tell which lines of the lattice, bool (kz, ky), the scanner left out in the corners of k-space, on purpose.

    Scanners leave out what lies outside an ellipse, and round it each in its own way: the outermost line towards each
    of the four corners is missing. Then so are, on purpose, all others outside the ellipse that touches the edges of
    k-space, and those far from the centre and farther out than any line that came. A lost line lies further in.
    """
    n_kz, n_ky = acquired.shape
    kz, ky = ((torch.arange(n, device=acquired.device) - n // 2) / (n / 2) for n in acquired.shape)
    radius, wanted = kz.square()[:, None] + ky.square(), lattice.mask((n_kz, n_ky), acquired.device)
    nothing = torch.zeros_like(acquired)
    came = acquired & wanted
    for upper_z in (False, True):
        for upper_y in (False, True):
            quadrant = wanted & ((kz >= 0) == upper_z)[:, None] & ((ky >= 0) == upper_y)
            farthest = torch.where(quadrant, radius, -1).argmax()
            if not quadrant.any() or came.flatten()[farthest]:
                return nothing
    reach = max(float(radius[came].max()), OUTSIDE) if came.any() else 1.0
    return wanted & ~acquired & (radius > min(reach, 1.0))
