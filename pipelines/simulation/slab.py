"""Partitions of a simulated 3-D scan: which lines of (kz, ky) it acquires, and which calibrate."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from kband_core.lattice import Lattice
from kband_core.patterns import poisson_disc

SLAB_MM = 287.5  # holds the head along z


@dataclass(frozen=True)
class Slab:
    """Partitions along z, and what is left out of (kz, ky).

    Every `acceleration`-th partition of a row, `caipi_shift` further on from one row to the next; all lines of the
    lattice run through the centre. `elliptical`: no line outside the ellipse that touches the edges of k-space.
    `poisson`: random lines of a variable-density Poisson disc, as many as on the lattice.
    """

    n_partitions: int
    acceleration: int = 1
    caipi_shift: int = 0
    elliptical: bool = False
    poisson: bool = False

    def __post_init__(self) -> None:
        if self.n_partitions < 2:
            raise ValueError(f"{self.n_partitions} partitions, at least 2 expected")
        if not 1 <= self.acceleration <= self.n_partitions // 2:
            most = self.n_partitions // 2
            raise ValueError(f"partition acceleration is {self.acceleration}, expected 1 to {most}")
        if not 0 <= self.caipi_shift < self.acceleration:
            most = self.acceleration - 1
            raise ValueError(f"CAIPI shift is {self.caipi_shift}, 0 to {most} are distinct at {self.acceleration}")

    def acs_partitions(self, n_lines: int) -> range:
        """Partitions of the ACS block, as many as its rows if there are so many."""
        n_lines = min(n_lines, self.n_partitions)
        start = self.n_partitions // 2 - n_lines // 2
        return range(start, start + n_lines)

    def image_lines(self, n_rows: int, rows: range, acs_lines: int, seed: int) -> Tensor:
        """Tell which lines are acquired for the image, bool (kz, ky), `rows` of `n_rows` being acquired at all."""
        shape = self.n_partitions, n_rows
        kz, ky = ((torch.arange(n) - n // 2) / (n / 2) for n in shape)
        if self.poisson:
            acs = (len(self.acs_partitions(acs_lines)), acs_lines)
            rng = torch.Generator().manual_seed(seed)
            lines = poisson_disc(shape, rows.step * self.acceleration, acs=acs, rng=rng).mask
            lines[:, : rows.start] = False
        else:
            central = n_rows // 2 // rows.step  # row of the lattice
            origin = n_rows // 2 % rows.step, self.n_partitions // 2 - central * self.caipi_shift
            lines = Lattice((rows.step, self.acceleration), origin, self.caipi_shift).mask(shape)
            lines[:, [row for row in range(n_rows) if row not in rows]] = False
        return lines & (kz.square()[:, None] + ky.square() <= 1) if self.elliptical else lines
