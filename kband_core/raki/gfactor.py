"""g-factor maps of RAKI and GRAPPA: how much noise a reconstruction adds at every pixel."""

from __future__ import annotations

import torch
from torch import Tensor

from kband_core.axes import check_axes
from kband_core.fourier import to_image
from kband_core.plural import counted
from kband_core.raki.gfactor_checks import autodiff_variance
from kband_core.raki.gfactor_gram import Linearisation, noise_matrix
from kband_core.raki.gfactor_lines import Filler, as_network, fill_lines, noise_factor
from kband_core.sampling import Grid


def gfactor_map(
    filler: Filler,
    kspace: Tensor,
    sampling: Grid,
    *,
    combination: Tensor | None = None,
    covariance: Tensor | None = None,
    linearisation: Linearisation = "frozen",
) -> Tensor:
    """Map the g-factor of what `apply_raki` or `apply_grappa` makes of this k-space, exact to first order.

        g(r) = √(J Σ Jᴴ) / (√(pᵀ Σ p*)·√R),    J = ∂(Σ_j p_j I_j)/∂(acquired samples)

    With an orthonormal FFT, pᵀΣp* is the variance of a fully sampled image, and √R the noise that fewer samples cost
    any reconstruction. Published GRAPPA formulas divide by R instead, as they let noise enter all lines; both are
    Breuer's g. R is that of the grid, also where calibration lines are in the image and lower g.

    filler, kspace `(..., coil, ky, kx)` and sampling as for the reconstruction: calibration lines are in the image if
    the sampling has them. combination p as of `real_combination`. covariance Σ `(coil, coil)`, by default that of
    whitened data. Returns `(..., y, x)`, 0 where p is.

    linearisation: "frozen" as published, through activation masks that noise does not move; "widely_linear" through the
    true derivative, which matters for slopes below 0.5.

    Breuer et al., MRM 62:739 (2009); Dawood et al., arXiv 2402.17410.
    """
    combination = real_combination(filler, kspace, sampling, combination)
    network, problem = as_network(filler), (filler, kspace, sampling)
    variance = noise_matrix(*problem, covariance=covariance, linearisation=linearisation).variance(combination)
    if linearisation == "widely_linear" and network.slope != 1:
        pixels = unturned_pixels(kspace.shape[-2:], network.acceleration)
        variance[..., pixels[:, 0], pixels[:, 1]] = autodiff_variance(
            *problem, combination, covariance=covariance, pixels=pixels
        )
    return gfactor_of(variance, combination, network.acceleration, covariance=covariance)


def real_combination(filler: Filler, kspace: Tensor, sampling: Grid, combination: Tensor | None = None) -> Tensor:
    """Weights p `(..., coil, y, x)` that make Σ_j p_j I_j real, so that noise along the real axis is a magnitude's.

    `combination`, turned pixel by pixel: conj(csm), say; by default that of root sum of squares, conj(I_j)/RSS.
    """
    lengths = check_axes(kspace=(kspace, "... coil ky kx"), sampling=(sampling.lines(), "ky"))
    n_coils = as_network(filler).n_coils
    if lengths["coil"] != n_coils:
        raise ValueError(
            f"gfactor_map: kspace has {counted(lengths['coil'], 'coil')}, but the weights are for "
            f"{n_coils}"
        )
    images = to_image(fill_lines(filler, kspace, sampling))
    if combination is None:
        combination = images.conj() / _positive(torch.linalg.vector_norm(images, dim=-3, keepdim=True))
    else:
        check_axes(combination=(combination, "... coil ky kx"), kspace=(kspace, "... coil ky kx"))
    image = (combination * images).sum(-3, keepdim=True)
    return combination * torch.where(image == 0, 1, image.conj() / _positive(image.abs()))


def gfactor_of(variance: Tensor, combination: Tensor, acceleration: int, *, covariance: Tensor | None = None) -> Tensor:
    """g `(..., y, x)` from the variance of the image combined by p: its SD over √R times that of all lines."""
    factor = noise_factor(covariance, combination)
    full = torch.einsum("ij,...iyx->...jyx", factor, combination).abs().square().sum(-3)
    return (variance / (_positive(full) * acceleration)).sqrt() * (full > 0)


def unturned_pixels(shape: tuple[int, int], acceleration: int) -> Tensor:
    """Pixels `(pixel, 2)` whose plane wave has the same sign, or one sign in turn, at all lines of the grid.

    The noise J₁n + J₂n* has a variance along the real axis that differs from the mean of both axes by the sum over the
    acquired samples of J₁ΣJ₂ᵀ ∝ e^{2ik·r}. It averages out but here, where 2k·r is the same for all k, modulo 2π.
    """
    n_lines, n_samples = shape
    y = torch.arange(n_lines)
    x = torch.arange(n_samples)
    y = y[(y - n_lines // 2) * 2 * acceleration % n_lines == 0]
    x = x[(x - n_samples // 2) * 2 % n_samples == 0]
    return torch.cartesian_prod(y, x)


def _positive(values: Tensor) -> Tensor:
    return values.clamp(min=torch.finfo(values.dtype).tiny)
