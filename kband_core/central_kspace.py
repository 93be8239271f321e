"""The centre of k-space, on a grid, from samples along a trajectory: what calibrates coils there.

Undersampled shots cover the centre alone, and of that only as much as their gaps allow. Gridding makes ghosts
of what lies beyond, and coil maps of the ghosts; so only the part that is covered calibrates, by least squares.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from kband_core.axes import check_axes
from kband_core.fourier import resize, to_kspace
from kband_core.sampling import Trajectory
from kband_core.solvers import solve_normal
from kband_core.trajectory_operator import TrajectoryOperator

GAP = 0.62  # grid samples from any of the covered centre to the nearest one measured: half of a gap that Nyquist allows
ROOM = 0.9  # of that, which a design aims at
FEWEST = 10  # grid samples across, which coil maps need at the least
WEIGHT = 1e-3  # Tikhonov, relative to the normal operator's diagonal
BEYOND = 2  # samples that are found beyond each end, and dropped: there samples lie on one side only
ITERATIONS = 15  # of conjugate gradients, weighted by density


def covered_extent(coords: Tensor, shape: Sequence[int], most: int) -> int:
    """Return how many grid samples across the centre of k-space are covered, `FEWEST` to `most` of a grid of `shape`.

    `coords` `(shot, sample, 2)` in cycles per pixel. Every grid sample within the circle has one that was measured
    less than `GAP` of the grid's distance away.
    """
    along, places = _about_the_centre(coords, shape, most)
    covered = most / 2
    for y in along:  # row by row: of a large centre all distances at once would fill the memory
        beside = places[(places[:, 0] - y).abs() <= 1]
        row = torch.stack((y.expand_as(along), along), -1)
        radius = torch.linalg.vector_norm(row, dim=-1)
        is_bare = torch.cdist(row, beside).amin(-1) > GAP if len(beside) else torch.ones_like(radius, dtype=torch.bool)
        covered = min(covered, float(radius[is_bare].min())) if is_bare.any() else covered
    return min(max(2 * int(covered), FEWEST), most)


def bareness(coords: Tensor, shape: Sequence[int], extent: int) -> Tensor:
    """Return the mean square by which gaps exceed what covers a centre `extent` samples across, relative to that: 0 for
    one that is covered, with some room. Derivatives pass to `coords`.
    """
    along, places = _about_the_centre(coords, shape, extent)
    if not len(places):  # shots that left the centre altogether are led back to it by all their samples
        places = (coords * coords.new_tensor(shape)).flatten(0, -2)
    grid = torch.cartesian_prod(along, along)
    grid = grid[torch.linalg.vector_norm(grid, dim=-1) <= extent / 2]
    return torch.relu(torch.cdist(grid, places).amin(-1) / (ROOM * GAP) - 1).square().mean()


def _about_the_centre(coords: Tensor, shape: Sequence[int], most: int) -> tuple[Tensor, Tensor]:
    """Grid samples along an axis of a centre `most` across, and all samples in or beside it, in samples of the grid."""
    places = (coords * coords.new_tensor(shape)).flatten(0, -2)
    along = torch.arange(most + 1, device=coords.device, dtype=coords.dtype) - most // 2
    return along, places[(places.abs() <= most / 2 + 1).all(-1)]


def central_kspace(kspace: Tensor, sampling: Trajectory, shape: Sequence[int], extent: Sequence[int]) -> Tensor:
    """Return the central `extent` (ky, kx) of the k-space of every coil on the grid of `shape`, `(coil, ky, kx)`.

    `kspace` is `(coil, shot, sample)`. Each coil's image of so few pixels is the one that fits best to the samples
    in that part of k-space and just beyond, weighted by their density. Raises `ValueError` if there are none.
    """
    check_axes(kspace=(kspace, "coil shot sample"))
    wide = [min(n + 2 * BEYOND, most) for n, most in zip(extent, shape, strict=True)]
    coords = sampling.coords * sampling.coords.new_tensor([n / m for n, m in zip(shape, wide, strict=True)])
    within = (coords.abs() <= 0.5).all(-1)
    if not within.any():
        raise ValueError(f"no sample lies in the {wide[0]} × {wide[1]} of the centre of k-space; nothing calibrates")
    density = sampling.density[within]
    weight = (density / density.mean())[None]
    maps = torch.ones(1, 1, *wide, dtype=kspace.dtype, device=kspace.device)
    operator = TrajectoryOperator(Trajectory(coords[within][None]), maps, weight)
    samples = kspace[:, within][:, None, None] * weight.sqrt()
    diagonal = weight.sum() / (wide[0] * wide[1])
    image = solve_normal(operator, operator.adjoint(samples), WEIGHT * diagonal, ITERATIONS)
    return resize(to_kspace(image[:, 0]), extent)
