"""Gradient delays of radial scans: by how many samples the gradients along x and y come late.

Spoke i is then not sampled at (n − c)·Δk·n̂ but at (n − c)·Δk·n̂ − Δk·D·n̂ (Block and Uecker 2011), with D symmetric:
its diagonal holds the delays of both gradients, and what is off it a gradient that leaks into the other.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

PARTNER = math.radians(7)  # from the opposite direction: the nearest one of 29 spokes of a full circle lies 6.2° away
FEWEST_SPOKES = 3  # with a partner, since D has three numbers
FEWEST_SAMPLES = 8  # on both sides of the centre
FINER = 64  # steps of a sample, in which crossings of spokes are searched
SEARCHED_AT = 3 * FINER + 1  # places: up to 1.5 samples to both sides of the centre
OBJECT = 0.6  # of the oversampled field of view holds it; the rest is noise
LEAST_GAIN = 0.01  # of the residual: noise makes as much, and is no reason to move samples
LEAST_SHARE = 1e-3  # of the norm of all samples: maps change with rounding, and a third of it comes and goes
STEPS = 5  # of the slope of a phase, each about the one before


@dataclass(frozen=True)
class Delays:
    """What was found: D `(2, 2)`, y before x, in samples, by which estimate, and what it does to the data residual.

    Where they are not `accepted` nothing is to be moved.
    """

    matrix: Tensor
    estimate: str
    before: float
    after: float

    @property
    def accepted(self) -> bool:
        """Whether samples explain one another better where this puts them."""
        return self.before - self.after > max(LEAST_GAIN * self.before, LEAST_SHARE)


def delayed(coords: Tensor, delays: Tensor) -> Tensor:
    """Move spokes `(spoke, sample, 2)` to where gradients with delays `(2, 2)`, in samples, lead."""
    direction, step = _directions(coords)
    return coords - (step * (direction @ delays.to(coords)))[:, None]


def find_delays(kspace: Tensor, coords: Tensor, residual: Callable[[Tensor], float]) -> Delays | None:
    """Estimate the delays of spokes `(coil, spoke, sample)` that are not in their `coords` `(spoke, sample, 2)` yet.

    By opposed spokes and by crossings; of both the one with the lower `residual`, a function of coordinates, for either
    may be wrong: crossings even in sign, on measured phantoms. None where neither tells.
    """
    estimates = {"opposed spokes": opposed_delays(kspace, coords), "RING": ring_delays(kspace, coords)}
    found, before = {name: matrix for name, matrix in estimates.items() if matrix is not None}, residual(coords)
    tried = [Delays(matrix, name, before, residual(delayed(coords, matrix))) for name, matrix in found.items()]
    return min(tried, key=lambda delays: delays.after, default=None)


def opposed_delays(kspace: Tensor, coords: Tensor) -> Tensor | None:
    """Delays by spokes and their partners, which run the other way through the same samples; None without partners,
    or where spokes begin in the centre.

    Of magnitudes, one is the other turned round and moved by twice the delay along it, d = n̂ᵀDn̂: the slope g of the
    phase between their transforms is 4πd/N (Peters 2003, Block and Uecker 2011). Spokes without a partner are left out.
    """
    direction, behind = _directions(coords)[0], _behind_centre(coords)
    angle = torch.atan2(direction[:, 0], direction[:, 1])
    off, partner = ((angle[:, None] - angle).remainder(2 * math.pi) - math.pi).abs().min(1)
    has_partner = off < PARTNER
    if int(has_partner.sum()) < FEWEST_SPOKES or _side(coords) < FEWEST_SAMPLES:
        return None
    magnitude = _around_centre(kspace, coords).abs()
    n, pixel = magnitude.shape[-1], torch.arange(magnitude.shape[-1]) - magnitude.shape[-1] // 2
    spoke, turned = _profile(magnitude), _profile(magnitude[:, partner].flip(-1))
    product = (spoke * turned.conj()).sum(0)
    slope, weight = (product[:, :-1].conj() * product[:, 1:]).sum(-1).angle(), product.abs().square()
    for _ in range(STEPS):  # a phase that is left is small, and needs no unwrapping
        left = (product * torch.polar(torch.ones(()), -slope[:, None] * pixel)).angle()
        slope = slope + (weight * pixel * left).sum(-1) / (weight * pixel.square()).sum(-1)
    along = slope * n / (4 * math.pi) + (behind * direction).sum(-1)
    y, x = direction[has_partner].unbind(-1)
    return _solved(torch.stack((y.square(), 2 * x * y, x.square()), -1), along[has_partner])


def ring_delays(kspace: Tensor, coords: Tensor) -> Tensor | None:
    """Delays by where spokes cross: two of them share a sample, though not where they should (RING, Rosenzweig 2019).

    If spoke i has it u_i samples behind its centre, and j u_j, then D(n̂_i − n̂_j) = u_i n̂_i − u_j n̂_j. Spokes are
    interpolated, and each is paired with the one that is nearest to 90° away. None for fewer than three spokes,
    or where they begin in the centre.
    """
    direction, behind = _directions(coords)[0], _behind_centre(coords)
    if len(direction) < FEWEST_SPOKES or _side(coords) < FEWEST_SAMPLES:
        return None
    near = _near_centre(_around_centre(kspace, coords))  # (spoke, coil, u)
    other = (direction @ direction.mT).abs().argmin(1)
    energy = near.abs().square().sum(1)
    apart = energy[:, :, None] + energy[other][:, None] - 2 * (near.mH @ near[other]).real
    least = apart.flatten(1).argmin(-1)
    here, there = (_place(index) for index in (least // SEARCHED_AT, least % SEARCHED_AT))
    v = direction - direction[other]
    wanted = here * direction - there * direction[other] + behind - behind[other]
    zero = torch.zeros(len(v))
    y, x = v.unbind(-1)
    rows = torch.cat((torch.stack((y, x, zero), -1), torch.stack((zero, y, x), -1)))
    return _solved(rows, torch.cat(wanted.unbind(-1)))


def _directions(coords: Tensor) -> tuple[Tensor, Tensor]:
    """Unit vectors of spokes `(spoke, 2)`, and the distance of their samples `(spoke, 1)`."""
    along = coords[:, -1] - coords[:, 0]
    length = torch.linalg.vector_norm(along, dim=-1, keepdim=True)
    return along / length, length / (coords.shape[1] - 1)


def _centre(coords: Tensor) -> int:
    """The sample nearest to the centre of k-space."""
    return int(torch.linalg.vector_norm(coords, dim=-1).mean(0).argmin())


def _side(coords: Tensor) -> int:
    """Samples that are on both sides of it."""
    centre = _centre(coords)
    return min(centre, coords.shape[1] - 1 - centre)


def _behind_centre(coords: Tensor) -> Tensor:
    """Where that sample lies by the coordinates `(spoke, 2)`, in samples from the centre."""
    return coords[:, _centre(coords)] / _directions(coords)[1]


def _around_centre(kspace: Tensor, coords: Tensor) -> Tensor:
    """As many samples `(coil, spoke, 2m + 1)` on both sides of the centre as the shorter one has."""
    centre, side = _centre(coords), _side(coords)
    return kspace[..., centre - side : centre + side + 1]


def _profile(samples: Tensor) -> Tensor:
    return torch.fft.fftshift(torch.fft.ifft(torch.fft.ifftshift(samples, dim=-1)), dim=-1)


def _near_centre(samples: Tensor) -> Tensor:
    """Spokes between their samples, FINER of a sample, up to SEARCHED of them from the centre: `(spoke, coil, u)`."""
    n = samples.shape[-1]
    pixel = torch.arange(n) - n // 2
    place = _place(torch.arange(SEARCHED_AT))
    wave = torch.polar(torch.ones(()), -2 * math.pi / n * pixel[:, None] * place.squeeze(-1))
    wave = wave * (pixel.abs() <= OBJECT * n / 2)[:, None]
    return (_profile(samples) @ wave).movedim(1, 0)


def _place(index: Tensor) -> Tensor:
    """Samples behind the centre `(…, 1)` of an interpolated one."""
    return ((index - SEARCHED_AT // 2) / FINER)[:, None]


def _solved(rows: Tensor, wanted: Tensor) -> Tensor:
    """D `(2, 2)` by least squares for (yy, xy, xx)."""
    yy, xy, xx = torch.linalg.lstsq(rows, wanted[:, None]).solution[:, 0]
    return torch.stack((torch.stack((yy, xy)), torch.stack((xy, xx))))
