"""The centre of k-space, on a grid, from samples along a trajectory: what calibrates coils there.

Undersampled shots cover the centre alone, and of that only as much as their gaps allow. Gridding makes ghosts
of what lies beyond, and coil maps of the ghosts; so only the part that is covered calibrates, by least squares.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from kband_core.axes import check_axes
from kband_core.fourier import to_kspace
from kband_core.sampling import Trajectory
from kband_core.solvers import solve_normal
from kband_core.trajectory_operator import TrajectoryOperator

GAP = 0.62  # grid samples from any of the covered centre to the nearest one measured: half of a gap that Nyquist allows
FEWEST = 10  # grid samples across, which coil maps need at the least
WEIGHT = 1e-3  # Tikhonov, relative to the normal operator's diagonal
ITERATIONS = 15  # of conjugate gradients, weighted by density


def covered_extent(coords: Tensor, shape: Sequence[int], most: int) -> int:
    """Return how many grid samples across the centre of k-space are covered, `FEWEST` to `most` of a grid of `shape`.

    `coords` `(shot, sample, 2)` in cycles per pixel. Every grid sample within the circle has one that was measured
    less than `GAP` of the grid's distance away.
    """
    places = (coords * coords.new_tensor(shape)).flatten(0, -2)
    places = places[(places.abs() <= most / 2 + 1).all(-1)]
    across = torch.arange(most + 1, device=coords.device, dtype=coords.dtype) - most // 2
    grid = torch.cartesian_prod(across, across)
    radius = torch.linalg.vector_norm(grid, dim=-1)
    if len(places) == 0:
        return min(FEWEST, most)
    is_bare = torch.cdist(grid, places).amin(-1) > GAP
    covered = float(radius[is_bare].min()) if is_bare.any() else most / 2
    return min(max(2 * int(covered), FEWEST), most)


def central_kspace(kspace: Tensor, sampling: Trajectory, shape: Sequence[int], extent: Sequence[int]) -> Tensor:
    """Return the central `extent` (ky, kx) of the k-space of every coil on the grid of `shape`, `(coil, ky, kx)`.

    `kspace` is `(coil, shot, sample)`. Each coil's image of so few pixels is the one that fits best to the samples
    within that part of k-space, weighted by their density.
    """
    check_axes(kspace=(kspace, "coil shot sample"))
    coords = sampling.coords * sampling.coords.new_tensor([n / m for n, m in zip(shape, extent, strict=True)])
    within = (coords.abs() <= 0.5).all(-1)
    density = sampling.density[within]
    weight = (density / density.mean())[None]
    operator = TrajectoryOperator(
        Trajectory(coords[within][None]), torch.ones(1, 1, *extent, dtype=kspace.dtype, device=kspace.device), weight
    )
    samples = kspace[:, within][:, None, None] * weight.sqrt()
    adjoint = operator.adjoint(samples)
    diagonal = weight.sum() / (extent[0] * extent[1])
    return to_kspace(solve_normal(operator, adjoint, WEIGHT * diagonal, ITERATIONS)[:, 0])
