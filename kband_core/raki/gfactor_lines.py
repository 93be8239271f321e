"""Where noise goes: from which acquired lines into which lines of the reconstruction, and how far."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from kband_core.grappa import GrappaKernel, apply_grappa
from kband_core.plural import counted
from kband_core.raki.network import RakiNetwork, apply_raki
from kband_core.sampling import Grid
from kband_core.whitening import whitening_matrix

Filler = RakiNetwork | GrappaKernel  # what fills the missing lines


@dataclass(frozen=True)
class NoisePaths:
    """How the noise of each acquired line of the R grid spreads.

    Lines whose noise spreads alike form a class: mostly one, others beside the ACS and at the edges of k-space.

    groups `(group,)`: those of the `n_groups` on the grid that are acquired; classes `(group,)`: the class of each.
    shifts `(class, line tap, offset)`: by how many lines the layer that sees the line at this tap moves it to make
    this offset; `NOWHERE` if that line is not predicted. first_line: of group 0. n_beside: measured lines beside the
    grid, as the ACS; they are in the image as they are.
    """

    groups: Tensor
    classes: Tensor
    shifts: Tensor
    n_groups: int
    first_line: int
    n_beside: int

    NOWHERE = 1 << 30

    @property
    def longest_shift(self) -> int:
        """Lines between the two images of one acquired line that are furthest apart."""
        reached = self.shifts[self.shifts != self.NOWHERE].tolist()
        return max(0, *reached) - min(0, *reached) if reached else 0

    def shifts_of(self, n_lines: int) -> Tensor:
        """The shifts for a kernel of `n_lines` lines, which may be fewer than the largest has."""
        first = (self.shifts.shape[1] - 1) // 2 - (n_lines - 1) // 2
        return self.shifts[:, first : first + n_lines]

    def acquired(self, kspace: Tensor, acceleration: int) -> Tensor:
        """The acquired lines `(..., coil, group, kx)` that the network sees; those not acquired are zero."""
        lines = kspace.new_zeros(*kspace.shape[:-2], self.n_groups, kspace.shape[-1])
        groups = self.groups.to(kspace.device)
        lines[..., groups, :] = kspace[..., self.first_line + groups * acceleration, :]
        return lines


def noise_paths(network: RakiNetwork, sampling: Grid, *, wraps: bool) -> NoisePaths:
    """Follow the noise of every acquired line through `apply_raki`, which `wraps` around, or `apply_grappa`.

    A shift of P lines is none, P the number of lines: shifts are taken modulo P, to the nearest.
    """
    acceleration, mask = network.acceleration, sampling.lines().cpu()
    n_lines = len(mask)
    first, last = sampling.uniform_ends("gfactor_map", acceleration)
    start, n_groups = first % acceleration, -(-n_lines // acceleration)
    lines = torch.arange(max(first - acceleration + 1, 0), min(last + acceleration, n_lines))
    lines = lines[~mask[lines]]

    n_taps = max(layer.shape[-2] for layer in (*network.layers, network.skip) if layer is not None)
    taps = torch.arange(n_taps)
    source = (lines[:, None] - start - 1) // acceleration + taps - (n_taps - 1) // 2  # (line, tap), in groups
    source = source % n_groups if wraps else source
    shift = lines[:, None] - start - source * acceleration
    shift = (shift + n_lines // 2) % n_lines - n_lines // 2
    offset = ((lines - start - 1) % acceleration)[:, None].expand_as(source)
    seen = (source >= first // acceleration) & (source <= last // acceleration)

    groups = torch.arange(first // acceleration, last // acceleration + 1)
    table = torch.full((n_groups, n_taps, network.n_offsets), NoisePaths.NOWHERE)
    table[source[seen], taps.expand_as(source)[seen], offset[seen]] = shift[seen]
    shifts, classes = table[groups].unique(dim=0, return_inverse=True)
    return NoisePaths(groups, classes, shifts, n_groups, start, n_beside=int(mask.sum()) - len(groups))


def as_network(filler: Filler) -> RakiNetwork:
    """A GRAPPA kernel as the network of one layer; a network as it is."""
    if isinstance(filler, RakiNetwork):
        return filler
    weights = filler.weights.movedim(-5, -4).flatten(-5, -4)  # (..., coil·offset, coil, line, sample)
    return RakiNetwork((weights,), slope=1.0, acceleration=filler.acceleration)


def fill_lines(filler: Filler, kspace: Tensor, sampling: Grid) -> Tensor:
    """Fill the missing lines of `(..., coil, ky, kx)` with a network or with GRAPPA."""
    fill = apply_raki if isinstance(filler, RakiNetwork) else apply_grappa
    return fill(filler, kspace, sampling)


def noise_factor(covariance: Tensor | None, kspace: Tensor) -> Tensor:
    """L with Σ = LLᴴ, the noise covariance of the coils of `kspace`; the identity for whitened data (`None`)."""
    n_coils = kspace.shape[-3]
    if covariance is None:
        return torch.eye(n_coils, dtype=kspace.dtype, device=kspace.device)
    if covariance.shape != (n_coils, n_coils):
        raise ValueError(
            f"noise covariance has shape {tuple(covariance.shape)}, but kspace has "
            f"{counted(n_coils, 'coil')}"
        )
    whitening_matrix(covariance)  # refuses what is singular
    return torch.linalg.cholesky(covariance.to(torch.complex128)).to(kspace)
