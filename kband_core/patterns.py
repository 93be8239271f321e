"""Choose which k-space lines or samples are acquired.

Lines give a `Grid` with a mask `(ky, 1)`, samples one with `(ky, kx)`. The ACS block is centred like `resize`: it
starts at N//2 - acs//2.
"""

from __future__ import annotations

import math
from contextlib import suppress

import torch
from torch import Tensor

from kband_core.plural import counted
from kband_core.sampling import Grid

POISSON_TRIES = 5


def equispaced_lines(n_lines: int, acceleration: int, *, acs_lines: int = 0, offset: int = 0) -> Grid:
    """Acquire every `acceleration`-th line from line `offset` on, and all lines of the ACS block.

    The ACS lines come on top: the scan is shortened by less than `acceleration`.
    """
    _check_acceleration("equispaced_lines", acceleration)
    if not 0 <= offset < acceleration:
        raise ValueError(f"equispaced_lines: offset {offset}, but 0 to {acceleration - 1} are distinct")
    lines = _acs_block(n_lines, acs_lines)
    lines[offset::acceleration] = True
    return Grid(lines[:, None])


def variable_density_lines(
    n_lines: int, acceleration: float, *, acs_lines: int, rng: torch.Generator, power: float = 2.0
) -> Grid:
    """Acquire the ACS block and random other lines, denser towards the centre of k-space.

    Exactly round(n_lines / acceleration) distinct lines, ACS included. A line at distance d from the centre is
    drawn with weight (1 - d/d_max)^`power`; since no line is drawn twice, the density is flatter than that near
    the centre when many are drawn. `power` 0 is uniform.

    Lustig, Donoho and Pauly, Sparse MRI, MRM 58:1182 (2007).
    """
    _check_acceleration("variable_density_lines", acceleration)
    lines = _acs_block(n_lines, acs_lines)
    n_random = round(n_lines / acceleration) - acs_lines
    if n_random < 0:
        raise ValueError(
            f"variable_density_lines: {counted(acs_lines, 'ACS line')}, but acceleration {acceleration:g} of "
            f"{counted(n_lines, 'line')} "
            f"leaves {acs_lines + n_random}"
        )
    if n_random > 0:
        distance = (torch.arange(n_lines, dtype=torch.float64) - n_lines // 2).abs()
        density = (1 - distance / (n_lines // 2 + 1)) ** power
        lines[torch.multinomial(density * ~lines, n_random, generator=rng)] = True
    return Grid(lines[:, None])


def poisson_disc(
    shape: tuple[int, int], acceleration: float, *, acs: tuple[int, int] = (24, 24), rng: torch.Generator
) -> Grid:
    """Acquire a variable-density Poisson disc: random, but no two samples close together.

    The distance between neighbours grows with |k| outside the ACS block. On a scanner both axes are phase encoding
    directions. SigPy draws the pattern and searches until its net acceleration, ACS and corners of k-space
    included, is within 5 % of `acceleration`. An odd ACS length is rounded up.

    Bridson, Fast Poisson disk sampling in arbitrary dimensions, SIGGRAPH sketches (2007).
    """
    _check_acceleration("poisson_disc", acceleration)
    if acs[0] >= shape[0] or acs[1] >= shape[1]:
        raise ValueError(f"poisson_disc: ACS of {acs[0]} x {acs[1]}, but k-space has {shape[0]} x {shape[1]}")
    n_acs, n_samples = acs[0] * acs[1], shape[0] * shape[1]
    if n_acs > n_samples / acceleration:
        raise ValueError(
            f"poisson_disc: {n_acs} ACS samples, but acceleration {acceleration:g} of {n_samples} samples leaves "
            f"{n_samples / acceleration:.0f}"
        )
    try:
        from sigpy.mri import poisson
    except ImportError as error:
        raise ImportError("poisson_disc: SigPy draws the pattern and is missing; pip install kband[train]") from error
    even = tuple(length + length % 2 for length in acs)  # SigPy puts an odd block beside the centre
    for _ in range(POISSON_TRIES):
        seed = int(torch.randint(2**31, (), generator=rng))
        with suppress(ValueError):  # SigPy's search for the density ends without a pattern for one seed in some hundred
            pattern = poisson(shape, acceleration, calib=even, crop_corner=False, tol=0.05 * acceleration, seed=seed)
            return Grid(torch.from_numpy(pattern.real > 0))
    raise ValueError(
        f"poisson_disc: SigPy finds no pattern of {shape[0]} x {shape[1]} with {acs[0]} x {acs[1]} ACS within 5 % "
        f"of acceleration {acceleration:g}; ask for another acceleration or a smaller ACS"
    )


def ssdu_split(acquired: Grid, *, fraction: float = 0.4, rng: torch.Generator) -> tuple[Grid, Grid]:
    """Split the acquired samples of a plane into those the network sees, Θ, and those it is judged by, Λ.

    Where whole lines were acquired, these are split. ⌈`fraction`·acquired⌉ go to Λ, drawn with a Gaussian density
    around DC, SD (N − 1)/4 along each axis; the central 4 x 4 samples, or 4 lines, stay in Θ.

    Yaman et al., Self-supervised learning of physics-guided reconstruction, MRM 84:3172 (2020).
    """
    if not 0 < fraction < 1:
        raise ValueError(f"ssdu_split: fraction is {fraction:g}, between 0 and 1 needed")
    density = torch.ones((), dtype=torch.float64)
    central = torch.ones((), dtype=torch.bool)
    mask = acquired.mask.cpu()
    for dim, length in enumerate(mask.shape):
        offset = torch.arange(length, dtype=torch.float64) - length // 2
        along = [-1 if other == dim else 1 for other in range(2)]
        density = density * torch.exp(-0.5 * (offset / max((length - 1) / 4, 1)).square()).reshape(along)
        central = central & ((offset >= -2) & (offset < 2)).reshape(along)
    n_judged = math.ceil(fraction * int(mask.sum()))
    free = mask & ~central
    n_free = int(free.sum())
    if not 0 < n_judged <= n_free:
        raise ValueError(
            f"ssdu_split: {counted(n_judged, 'sample')} to judge by, but {n_free} acquired outside the "
            "centre"
        )
    judged = torch.zeros_like(mask).flatten()
    judged[torch.multinomial((density * free).flatten(), n_judged, generator=rng)] = True
    judged = judged.reshape(mask.shape).to(acquired.mask.device)
    return acquired.within(~judged), Grid(judged)


def _check_acceleration(name: str, acceleration: float) -> None:
    if acceleration < 1:
        raise ValueError(f"{name}: acceleration is {acceleration:g}, at least 1 needed")


def _acs_block(n_lines: int, acs_lines: int) -> Tensor:
    if not 0 <= acs_lines <= n_lines:
        raise ValueError(f"{counted(acs_lines, 'ACS line')}, but k-space has {n_lines}")
    mask = torch.zeros(n_lines, dtype=torch.bool)
    start = n_lines // 2 - acs_lines // 2
    mask[start : start + acs_lines] = True
    return mask
