"""Tell how good an image is without a reference: from one more band, acquired for the purpose.

Samples that lie in one random band, each weighted by W = 1/E[B], sum up on average to the sum over all of k-space
(Horvitz and Thompson, JASA 47:663, 1952). Numerator and denominator of the error are exactly unbiased if

- the band's angle was drawn at random, and the image came from another acquisition: the scan itself, of full extent;
- W is not capped (`band_weight(..., cap=inf)`) and every sample lies in some band, as it does for `strip`. Where W is
  capped a sample counts W·E[B] times, where no band comes not at all.

The noise of the band is part of its samples, and therefore of the error. Of several bands, sum the energies first and
divide then: the ratio of one band scatters, and is itself not exactly unbiased.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from kband_core.axes import check_axes

NORMAL_90 = 1.645  # standard deviations around the mean of a normal variable that hold 90 % of it


def weighted_band_energy(kspace: Tensor, band: Tensor, weight: Tensor) -> Tensor:
    """Estimate Σ|k|² over all of k-space and all coils from the samples in `band`: Σ W·B·|k|².

    `kspace` `(..., coil, ky, kx)`, `band` bool and `weight` `(..., ky, kx)`; returns `(...)`.
    """
    check_axes(kspace=(kspace, "... coil ky kx"), band=(band, "... ky kx"), weight=(weight, "... ky kx"))
    return (weight * band * kspace.abs().square().sum(-3)).sum((-2, -1))


def weighted_band_nmse(predicted_kspace: Tensor, kspace: Tensor, band: Tensor, weight: Tensor) -> Tensor:
    """Estimate the NMSE of full k-space from one band: Σ W·B·|p − k|² / Σ W·B·|k|²; `(...)`.

    `predicted_kspace` is what every coil would measure of the image, F·S (`kband_core.operators.predicted_kspace`).
    Without W the estimate would be too good, since every band crosses the centre, where the relative error is least.
    """
    error = weighted_band_energy(predicted_kspace - kspace, band, weight)
    return error / weighted_band_energy(kspace, band, weight)


class HeldOutError(NamedTuple):
    """NMSE of full k-space, the least that could be told, what is left of the noise of the lines that judge, and the SD
    of the estimate over other draws of these lines.
    """

    nmse: Tensor
    floor: Tensor
    deviation: Tensor

    def interval(self) -> tuple[Tensor, Tensor]:
        """Return from where to where the true one lies 90 times of 100, were the estimate normal: of few lines it is
        not, since one that hits an error counts as all that miss it.
        """
        return self.nmse - NORMAL_90 * self.deviation, self.nmse + NORMAL_90 * self.deviation


def held_out_nmse(predicted_kspace: Tensor, kspace: Tensor, weight: Tensor, *, noise: float = 0.0) -> HeldOutError:
    """Estimate the NMSE of full k-space from lines kept out of the reconstruction: Σ W(|p − k|² − n²) / Σ|p|²; `(...)`.

    Each line was drawn at random among all lines, acquired or not, with a probability known beforehand: `weight`
    `(..., ky, 1)` is 1 over it, and 0 where none was drawn. n is the SD of their complex `noise`, which is not the
    image's: its energy is known and taken off. What is left of it is its scatter, n²√ΣW²: where the error is smaller,
    the estimate scatters around it by this `floor`, and may be negative. So the numerator is exactly unbiased; few
    lines seldom hit the centre, where nearly all energy is, so that the denominator is that of the image itself,
    `predicted_kspace` `(..., coil, ky, kx)`. `kspace` likewise. Its variance, of lines drawn each by itself, is told by
    Σ W(W − 1)d² + W n²(2d + n²), d being what a line misses: the second part is what noise does to d.
    """
    weight = weight.expand(*weight.shape[:-1], kspace.shape[-1])
    energy = predicted_kspace.abs().square().sum((-3, -2, -1))
    n_coils = kspace.shape[-3]
    missed = (predicted_kspace - kspace).abs().square().sum(-3) - n_coils * noise**2
    each, of_line, n_samples = weight.amax(-1), (missed * (weight > 0)).sum(-1), n_coils * (weight > 0).sum(-1)
    by_noise = noise**2 * (2 * of_line.clamp(min=0) + noise**2 * n_samples)
    deviation = (each * ((each - 1) * of_line.square() + by_noise)).sum(-1).sqrt()
    scatter = noise**2 * (n_coils * weight.square().sum((-2, -1))).sqrt()
    return HeldOutError((weight * missed).sum((-2, -1)) / energy, scatter / energy, deviation / energy)


def weighted_error_by_radius(
    predicted_kspace: Tensor, kspace: Tensor, band: Tensor, weight: Tensor, *, edges: Sequence[float]
) -> Tensor:
    """Estimate the NMSE of rings of k-space from one band; `(..., ring)`.

    Ring i holds `edges[i]` ≤ r < `edges[i + 1]`, with r = 1 at the end of each axis, so that corners reach √2. With
    a `band` and a `weight` of ones this is the error itself. A ring without samples gives nan.
    """
    rows, columns = ((torch.arange(n, device=kspace.device) - n // 2) / (n / 2) for n in kspace.shape[-2:])
    radius = torch.hypot(rows[:, None], columns)
    rings = ((radius >= inner) & (radius < outer) for inner, outer in itertools.pairwise(edges))
    return torch.stack([weighted_band_nmse(predicted_kspace, kspace, band & ring, weight) for ring in rings], -1)
