"""Where k-space was sampled: on a grid, of which some samples were measured, or along a trajectory."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from kband_core.device import send

FEWEST_ALONE = 3  # lines that tell a grid
OUTSIDE = 0.75  # of the squared radius of the ellipse that touches the edges of k-space
ON_GRID = 0.9  # of them are on it: among scans of random lines chance does so in one of a hundred


@dataclass(frozen=True)
class Grid:
    """Samples of the k-space matrix that were measured, and all that can be asked about them.

    `mask` bool `(..., ky, kx)` or `(..., kz, ky, kx)`, True where measured. The last axis has length 1 where whole
    lines were acquired: it broadcasts along the readout. `on_cpu` is the same mask where that came from: questions are
    answered from it without waiting for a GPU. Raises `ValueError` for another type or fewer axes.
    """

    mask: Tensor
    on_cpu: Tensor | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.mask.dtype != torch.bool or self.mask.ndim < 2:
            raise ValueError(
                f"Grid: the mask is {self.mask.dtype} of shape {tuple(self.mask.shape)}, bool of (..., ky, kx) or "
                "(..., ky, 1) expected"
            )

    @property
    def shape(self) -> torch.Size:
        """Lengths of the mask's axes."""
        return self.mask.shape

    def __getitem__(self, index: Any) -> Grid:
        """Return the grid of a part of the leading axes."""
        return Grid(self.mask[index], None if self.on_cpu is None else self.on_cpu[index])

    def to(self, device: torch.device) -> Grid:
        """Return the same grid on `device`."""
        here = self.here().mask
        return Grid(send(self.mask, device), here if here.device.type == "cpu" else None)

    def here(self) -> Grid:
        """Return the same grid on the CPU where it came from there, else as it is."""
        return self if self.on_cpu is None else Grid(self.on_cpu)

    def within(self, part: Tensor) -> Grid:
        """Return what of it lies in a part of k-space, bool and broadcast with the mask."""
        return Grid(self.mask & part)

    def lines(self) -> Tensor:
        """Return the lines along ky of which any sample was measured: bool `(ky,)`."""
        return self.mask.any(-1).reshape(-1, self.mask.shape[-2]).any(0)

    def is_by_lines(self) -> bool:
        """Whether whole lines were acquired, all of the same extent along the readout."""
        mask = self.here().mask
        lines, samples = mask.any(-1, keepdim=True), mask.any(-2, keepdim=True)
        return bool(torch.equal(mask, lines & samples))

    def is_complete(self) -> bool:
        """Whether every sample was measured."""
        return bool(self.here().mask.all())

    def has_partial_echo(self) -> bool:
        """Whether a part of the readout was measured in no line."""
        return not self.here().mask.flatten(0, -2).any(0).all()

    def acceleration(self) -> float:
        """Return all lines over those acquired; where these differ in extent, all samples over those measured."""
        mask = self.here().mask
        acquired = mask.any(-1) if self.is_by_lines() else mask
        return acquired.numel() / max(int(acquired.sum()), 1)

    def central_lines(self, most: int | None = None) -> int:
        """Count the adjacent lines around the centre of k-space, of a block of `most` there if that is given."""
        mask = self.here().mask
        line = mask[..., mask.shape[-1] // 2].reshape(-1, mask.shape[-2]).any(0)
        most = len(line) if most is None else most
        centre = len(line) // 2
        below, above = line[:centre].flip(0)[: most // 2], line[centre:][: most - most // 2]
        return sum(int(side.cumprod(0).sum()) for side in (below, above))

    def spacing(self) -> int | None:
        """Return how far apart lines are where, outside the centre, they lie on a grid; None where they do not.

        Of the lines without a neighbour, three at least, nine in ten are then the same modulo the spacing; which of
        them are missing does not matter.
        """
        lines = torch.nn.functional.pad(self.here().lines(), (1, 1))
        alone = (lines[1:-1] & ~lines[:-2] & ~lines[2:]).nonzero().flatten().cpu()
        if len(alone) < FEWEST_ALONE:
            return None
        on_grid = (
            step for step in range(len(lines) // 2, 1, -1)
            if int(torch.bincount(alone % step).max()) >= ON_GRID * len(alone)
        )  # fmt: skip
        return next(on_grid, None)

    def has_like_partitions(self) -> bool:
        """Whether all partitions of `(kz, ky, kx)` that hold anything have the same samples, corners apart.

        Scanners leave out what lies outside an ellipse in kz and ky; such corners stay empty, as in an image that they
        fill with zeros.
        """
        mask = self.here().mask
        wanted = mask.any((-2, -1), keepdim=True) & mask.any(0)
        lacks = (wanted & ~mask).any(-1)
        return not (lacks & ~corners_left_out(mask.any(-1))).any()

    def uniform_ends(self, who: str, acceleration: int) -> tuple[int, int]:
        """First and last line of the uniform grid: those lines modulo R that hold most acquired ones.

        Raises `ValueError`, in the name of `who`, if no line is acquired or a line of the grid is missing in between.
        """
        lines = self.here().lines().cpu()
        acquired = lines.nonzero().flatten()
        if len(acquired) == 0:
            raise ValueError(f"{who}: none of the {len(lines)} lines is acquired")
        start = int(torch.bincount(acquired % acceleration).argmax())
        wanted = torch.arange(start, len(lines), acceleration)
        wanted = wanted[(wanted >= acquired[0]) & (wanted <= acquired[-1])]
        missing = wanted[~lines[wanted]].tolist()
        if missing:
            raise ValueError(
                f"{who}: line {missing[0]} of the R={acceleration} grid is missing ({len(missing)} of {len(wanted)})"
            )
        return int(wanted[0]), int(wanted[-1])


def runs(mask: Tensor) -> list[list[int]]:
    """First and last + 1 of every run of True in `mask`, bool `(ky,)`."""
    end = torch.zeros(1, dtype=torch.int8, device=mask.device)
    return torch.cat((end, mask.to(torch.int8), end)).diff().nonzero().view(-1, 2).tolist()


def corners_left_out(acquired: Tensor) -> Tensor:
    """Tell which of the lines `acquired`, bool `(kz, ky)`, were left out in the corners of k-space, on purpose.

    Scanners leave out what lies outside an ellipse in kz and ky, and round it each in its own way: all four corners are
    empty, from their outermost line inwards, far from the centre, and on both sides of a partition that holds others. A
    lost line has no such company, and neither has the part of a scan that was cut off.
    """
    n_partitions = len(acquired)
    kz, ky = (((torch.arange(n, device=acquired.device) - n // 2) / (n / 2)).square() for n in acquired.shape)
    empty, left_out = ~acquired, torch.zeros_like(acquired)
    if n_partitions == 1 or not empty[[0, 0, -1, -1], [0, -1, 0, -1]].all():
        return left_out
    for flips in ((), (0,), (1,), (0, 1)):  # from each corner inwards
        from_corner = empty.flip(flips).to(torch.uint8)
        left_out |= from_corner.cumprod(0).cumprod(1).bool().flip(flips)
    mirrored, radius = empty.flip(1) | empty.flip(1).roll(1, 1), kz[:, None] + ky
    mirrored[:, 0] = empty[:, -1]
    return left_out & ((radius > 1) | (radius > OUTSIDE) & mirrored) & acquired.any(1, keepdim=True)


@dataclass(frozen=True)
class Trajectory:
    """Places of samples that no grid holds.

    `coords` float32 `(..., shot, sample, dim)`, in cycles per pixel from -0.5 to 0.5, `dim` in the order of the image's
    axes: (z,) y, x. `density` float32 `(..., shot, sample)`: the part of k-space that a sample stands for, or None
    where nobody knows. Raises `ValueError` for other types, shapes or numbers.
    """

    coords: Tensor
    density: Tensor | None = None

    def __post_init__(self) -> None:
        coords, density = self.coords, self.density
        if coords.dtype != torch.float32 or coords.ndim < 3 or coords.shape[-1] not in (2, 3):
            raise ValueError(
                f"Trajectory: the coordinates are {coords.dtype} of shape {tuple(coords.shape)}, float32 of "
                "(..., shot, sample, 2 or 3) expected"
            )
        n_outside = int((~(coords.abs() <= 0.5)).sum())
        if n_outside:
            raise ValueError(f"Trajectory: {n_outside} coordinates are not within -0.5 to 0.5 cycles per pixel")
        if density is not None and (density.dtype != torch.float32 or density.shape != self.shape):
            raise ValueError(
                f"Trajectory: the density is {density.dtype} of shape {tuple(density.shape)}, float32 of "
                f"{tuple(self.shape)} expected"
            )

    @property
    def shape(self) -> torch.Size:
        """Lengths of the axes of the samples: `(..., shot, sample)`."""
        return self.coords.shape[:-1]

    def __getitem__(self, index: Any) -> Trajectory:
        """Return the trajectory of a part of the leading axes."""
        return self._of_the_same(self.coords[index], None if self.density is None else self.density[index])

    def to(self, device: torch.device) -> Trajectory:
        """Return the same trajectory on `device`."""
        density = None if self.density is None else send(self.density, device)
        return self._of_the_same(send(self.coords, device), density)

    def _of_the_same(self, coords: Tensor, density: Tensor | None) -> Trajectory:
        """A trajectory of the same numbers, which were looked at: not again, for which a GPU would be waited for."""
        other = copy(self)
        object.__setattr__(other, "coords", coords)
        object.__setattr__(other, "density", density)
        return other
