"""Coil combination and coil compression."""

from __future__ import annotations

import torch
from torch import Tensor

from kband_core.axes import check_axes
from kband_core.plural import counted


def sample_energy(array: Tensor) -> Tensor:
    """Squared magnitude of every complex sample: faster than the square of complex numbers' own magnitude."""
    parts = torch.view_as_real(array.resolve_conj())
    return parts[..., 0].square().addcmul_(parts[..., 1], parts[..., 1])


def root_sum_of_squares(coil_image: Tensor) -> Tensor:
    """Combine coil images `(..., coil, y, x)` to a magnitude image `(..., y, x)`."""
    return torch.linalg.vector_norm(coil_image, dim=-3)


def combine(coil_image: Tensor, csm: Tensor) -> Tensor:
    """Combine coil images `(..., coil, y, x)` with maps `(..., set, coil, y, x)` to images `(..., set, y, x)`.

    Σ_c conj(S_c) I_c: for whitened data and Σ_c |S_c|² = 1 the least-noise estimate (Roemer 1990).
    """
    check_axes(coil_image=(coil_image, "... coil y x"), csm=(csm, "... set coil y x"))
    return (csm.conj() * coil_image.unsqueeze(-4)).sum(-3)


def coil_images(image: Tensor, csm: Tensor) -> Tensor:
    """Weigh images `(..., set, y, x)` by maps `(..., set, coil, y, x)`: what each coil sees, `(..., coil, y, x)`."""
    seen = csm * image.unsqueeze(-3)
    return seen.squeeze(-4) if seen.shape[-4] == 1 else seen.sum(-4)  # a sum of one would be a copy


def merge_sets(image: Tensor) -> Tensor:
    """Merge the images of several sets of maps `(..., set, y, x)` to one, `(..., y, x)`.

    Magnitude: root sum of squares, so that anatomy that folds onto anatomy is not cancelled; phase: that of the sum.
    """
    if image.shape[-3] == 1:
        return image.squeeze(-3)
    return torch.polar(root_sum_of_squares(image), image.sum(-3).angle())


def compression_matrix(acs: Tensor, n_coils: int) -> Tensor:
    """Find the virtual coils that hold most of the signal: `(..., n_coils, coil)`, orthonormal rows.

    The strongest left singular vectors of the ACS `(..., coil, ky, kx)` over coils (Buehrer 2007, Huang 2008), each
    turned so that its largest entry is real and positive: what a library leaves open, a network's image would show.
    Raises `ValueError` if more coils are asked for than there are.
    """
    if not 1 <= n_coils <= acs.shape[-3]:
        raise ValueError(
            f"coil compression: {counted(n_coils, 'virtual coil')} asked for, 1 to {acs.shape[-3]} "
            "possible"
        )
    samples = acs.flatten(-2).to(torch.complex128)
    _, vectors = torch.linalg.eigh(samples @ samples.mH)  # ascending
    return turned(vectors[..., -n_coils:].flip(-1), dim=-2).mH.to(acs.dtype)


def turned(vectors: Tensor, dim: int) -> Tensor:
    """Turn each vector, along `dim`, so that its largest entry is real and positive: libraries leave its phase open."""
    largest = vectors.gather(dim, vectors.abs().argmax(dim, keepdim=True))
    return vectors * torch.sgn(largest).conj()


def compress(kspace: Tensor, matrix: Tensor) -> Tensor:
    """Apply a matrix `(..., virtual, coil)` to k-space, or images, `(..., coil, ky, kx)`."""
    check_axes(kspace=(kspace, "... coil ky kx"), matrix=(matrix, "... virtual coil"))
    return (matrix @ kspace.flatten(-2)).unflatten(-1, kspace.shape[-2:])
