"""Fill what a scan accelerated along ky and kz left out with GRAPPA, one kernel for each offset from its lattice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from kband_core.axes import check_axes, check_finite
from kband_core.device import planes_at_once, send
from kband_core.footprint import balanced_energy
from kband_core.fourier import resize, to_kspace
from kband_core.lattice import Lattice, fit_lattice, lines_left_out
from kband_core.sampling import Grid
from kband_core.solvers import ridge

MOST_SAMPLES = 48  # along kx of calibration lines: the windows are then ten times as many as the weights
FEWEST_SOURCES = 1 / 2  # of a kernel's were measured, or the sample stays empty: beyond edges, and in corners


@dataclass(frozen=True)
class Offset:
    """Weights `(target coil, coil, source, sample)` of the samples that lie `behind` (ky, kz) a line of the lattice.

    `sources`: where their sources lie, (kz, ky) from the sample.
    """

    behind: tuple[int, int]
    sources: tuple[tuple[int, int], ...]
    weights: Tensor


@dataclass(frozen=True)
class LatticeKernel:
    """One kernel for each offset of a lattice, wherever that begins. `misfit`: share of the energy of calibration lines
    that they miss."""

    acceleration: tuple[int, int]
    shift: int
    offsets: tuple[Offset, ...]
    misfit: float


def calibrate_lattice_grappa(
    acs: Tensor,
    lattice: Lattice,
    *,
    n_samples: int = 5,
    regularisation: float = 1e-4,
    windows: Literal["equal", "balanced"] = "balanced",
) -> LatticeKernel:
    """Fit the kernels to every window of the calibration lines `(x, coil, kz, ky)`, x being in image space.

    Sources are the lines of the lattice nearer than two steps along ky and kz, four along each where none is the
    sample's own, and `n_samples` along kx: the same kernel for the whole volume. `windows` as in `calibrate_grappa`.
    Raises `ValueError` where the calibration lines do not span a kernel.

    Griswold et al., MRM 47:1202 (2002); Breuer et al., MRM 55:549 (2006).
    """
    check_axes(acs=(acs, "x coil kz ky"))
    check_finite("calibrate_lattice_grappa", acs)
    check_block(acs, lattice.acceleration)
    along_y, along_z = lattice.acceleration
    lines = to_kspace(acs.movedim(0, -1), dims=(-1,))  # (coil, kz, ky, kx)
    lines = resize(lines, [min(lines.shape[-1], MOST_SAMPLES)], [-1])
    n_samples = min(n_samples, lines.shape[-1])
    offsets, energies = [], torch.zeros(2, dtype=torch.float64, device=acs.device)  # what is missed, and of what
    for behind in [(v, u) for v in range(along_y) for u in range(along_z) if (v, u) != (0, 0)]:
        sources = _sources(lattice, behind)
        columns, targets = _windows(lines, lattice, sources, n_samples)
        scale = balanced_energy(columns).rsqrt() if windows == "balanced" else torch.ones_like(columns[:1].real)
        weights = ridge(
            "calibrate_lattice_grappa", (columns * scale).flatten(1), (targets * scale).flatten(1),
            regularisation=regularisation,
        )  # fmt: skip
        targets = targets.flatten(1)
        missed = targets - weights @ columns.flatten(1)
        energies = energies + torch.stack([part.abs().square().sum() for part in (missed, targets)])
        shape = (len(weights), acs.shape[1], len(sources), n_samples)
        offsets.append(Offset(behind, sources, weights.view(shape)))
    missed, energy = energies.tolist()
    return LatticeKernel(lattice.acceleration, lattice.shift, tuple(offsets), missed / energy if energy else 0.0)


def check_block(acs: Tensor, acceleration: tuple[int, int]) -> None:
    """Raise `ValueError` unless calibration lines `(..., kz, ky)` span a kernel, with room to move."""
    (along_y, along_z), (n_kz, n_ky) = acceleration, acs.shape[-2:]
    if n_kz < 4 * along_z or n_ky < 4 * along_y:
        raise ValueError(
            f"GRAPPA: a block of {n_ky} × {n_kz} calibration lines, {4 * along_y} × {4 * along_z} needed for "
            f"R={along_y}×{along_z}"
        )


def lattice_of(sampling: Grid, acceleration: tuple[int, int]) -> Lattice:
    """Return the lattice of a grid whose mask is `(1, kz, ky)`; it may hold other lines as well.

    Raises `ValueError` if a line of the lattice is missing, corners and what lies beyond the outermost lines apart.
    """
    acquired = sampling.here().mask[0].cpu()
    lattice = fit_lattice(acquired, acceleration)
    wanted = lattice.mask(tuple(acquired.shape))
    within = _extent((acquired & wanted).any(1))[:, None] & _extent((acquired & wanted).any(0))
    missing = wanted & within & ~acquired & ~lines_left_out(acquired, lattice)
    if missing.any():
        (kz, ky), along = missing.nonzero()[0].tolist(), "×".join(map(str, acceleration))
        raise ValueError(
            f"GRAPPA: row {ky} of partition {kz} of the R={along} lattice is missing ({int(missing.sum())} of "
            f"{int((wanted & within).sum())})"
        )
    return lattice


def apply_lattice_grappa(kernel: LatticeKernel, kspace: Tensor, sampling: Grid) -> Tensor:
    """Fill k-space `(x, coil, kz, ky)`, x being in image space, where nothing was measured and sources are near.

    A convolution along kx is a product at every x. Samples of which half the sources, or more, are missing, beyond the
    edges or in corners that were left out, stay as they are. Raises `ValueError` as `lattice_of` does, and if a sample
    is not finite.
    """
    check_finite("apply_lattice_grappa", kspace)
    return fill_lattice(kernel, kspace, sampling)


def fill_lattice(kernel: LatticeKernel, kspace: Tensor, sampling: Grid) -> Tensor:
    """Do what `apply_lattice_grappa` does to samples known to be finite, as are all that a scan has let in: a GPU is
    not waited for."""
    lengths = check_axes(kspace=(kspace, "x coil kz ky"))
    lattice = lattice_of(sampling, kernel.acceleration)
    shape = lengths["kz"], lengths["ky"]
    acquired = sampling.here().mask[0].cpu()
    measured = acquired & lattice.mask(shape)
    behind_y, behind_z = lattice.phases(shape)
    (along_y, along_z), filled = kernel.acceleration, kspace.clone(memory_format=torch.contiguous_format)
    reach = (2 * along_y, 2 * along_y, 2 * along_z, 2 * along_z)
    padded_mask, measured = torch.nn.functional.pad(measured, reach), send(measured, kspace.device)
    width = padded_mask.shape[1]
    for offset in kernel.offsets:
        targets = ((behind_y == offset.behind[0]) & (behind_z == offset.behind[1]) & ~acquired).nonzero()
        z, y = targets.unbind(1)
        at = torch.stack([(z + 2 * along_z + dz) * width + y + 2 * along_y + dy for dz, dy in offset.sources])
        near = padded_mask.flatten()[at].float().mean(0) >= FEWEST_SOURCES
        z, y, at = (send(index, kspace.device) for index in (z[near], y[near], at[:, near]))
        n_x = planes_at_once(4 * kspace.element_size() * lengths["coil"] * at.numel(), kspace.device)
        for first in range(0, lengths["x"], n_x):
            some = slice(first, first + n_x)
            padded = torch.nn.functional.pad(kspace[some] * measured, reach)
            sources = padded.flatten(-2)[..., at.flatten()].unflatten(-1, at.shape).flatten(1, 2)
            filled[some, :, z, y] = _weights_at(offset, lengths["x"], some) @ sources
    return filled


def _sources(lattice: Lattice, behind: tuple[int, int]) -> tuple[tuple[int, int], ...]:
    """Lines of the lattice (kz, ky) nearer than two steps to a sample `behind` (ky, kz) one, from that sample."""
    (along_y, along_z), (v, u) = lattice.acceleration, behind
    near_z, near_y = (range(1 - max(2 * n, 2), max(2 * n, 2)) for n in (along_z, along_y))
    return tuple(
        (dz, dy) for dz in near_z for dy in near_y
        if (v + dy) % along_y == 0 and (u + dz - lattice.shift * ((v + dy) // along_y)) % along_z == 0
    )  # fmt: skip


def _windows(
    lines: Tensor, lattice: Lattice, sources: Sequence[tuple[int, int]], n_samples: int
) -> tuple[Tensor, Tensor]:
    """Columns `(coil·source·sample, window, kx)` and targets `(coil, window, kx)` of lines `(coil, kz, ky, kx)`."""
    reach_z, reach_y = (max(2 * n, 2) - 1 for n in lattice.acceleration[::-1])
    n_z, n_y, n_x = lines.shape[1] - 2 * reach_z, lines.shape[2] - 2 * reach_y, lines.shape[3] - n_samples + 1

    def at(dz: int, dy: int, dx: int) -> Tensor:
        z, y = reach_z + dz, reach_y + dy
        return lines[:, z : z + n_z, y : y + n_y, dx : dx + n_x].flatten(1, 2)

    columns = torch.stack([torch.stack([at(dz, dy, dx) for dx in range(n_samples)], 1) for dz, dy in sources], 1)
    return columns.flatten(0, 2), at(0, 0, n_samples // 2)


def _weights_at(offset: Offset, n_x: int, some: slice) -> Tensor:
    """Weights `(x, target coil, coil·source)` of some of the `n_x` pixels along x, from those along kx."""
    n_samples, device = offset.weights.shape[-1], offset.weights.device
    x = torch.arange(n_x, device=device)[some] - n_x // 2
    angle = -2 * torch.pi / n_x * torch.outer(x, torch.arange(n_samples, device=device) - n_samples // 2)
    turns = torch.polar(torch.ones_like(angle), angle)
    return torch.einsum("tcsk,xk->xtcs", offset.weights, turns).flatten(-2)


def _extent(lines: Tensor) -> Tensor:
    """Lines from the first to the last, bool."""
    found = lines.nonzero().flatten()
    index = torch.arange(len(lines))
    return (index >= found[0]) & (index <= found[-1]) if len(found) else lines
