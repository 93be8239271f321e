"""Turn one Hermitian coil-by-coil operator per grid point into smooth coil maps at any resolution."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from kband_core.coils import turned
from kband_core.threads import count_parts, side_by_side, usable_threads

IN_CACHE = 1 << 20  # bytes of vectors or operators: some times as many are computed with


def dominant_eigenvectors(operator: Tensor, n_sets: int) -> tuple[Tensor, Tensor]:
    """Find the `n_sets` largest eigenvalues and their eigenvectors of positive Hermitian matrices, all in one batch.

    Orthogonal iteration with H¹⁶, which takes four squarings, started from its largest columns. Power 48 in all
    leaves (λ₂/λ₁)⁴⁸ of the second vector in the first; the Ritz step then separates the vectors that were kept.

    operator `(..., coil, coil)` → values `(..., set)`, falling, and vectors `(..., coil, set)`.
    """
    points = operator.flatten(0, -3)
    parts = points.tensor_split(count_parts(points, usable_threads(), IN_CACHE), 0)
    found = side_by_side(lambda part: _dominant(part, n_sets), parts, usable_threads())
    values, vectors = (torch.cat([one[n] for one in found]).unflatten(0, operator.shape[:-2]) for n in range(2))
    return values, vectors


def _dominant(operator: Tensor, n_sets: int) -> tuple[Tensor, Tensor]:
    power = operator
    for _ in range(4):
        power = power @ (power / _trace(power))
    power = power / _trace(power)
    vectors = _orthonormal(_largest_columns(power, n_sets))
    for _ in range(2):
        vectors = _orthonormal(power @ vectors)
    return _ritz(vectors, vectors.mH @ operator @ vectors)


def interpolate_eigenvectors(values: Tensor, vectors: Tensor, shape: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Resample eigenvectors from a coarse periodic grid to `shape` over the same field of view.

    An eigenvector is known up to a phase, two close ones up to a rotation, so it is not they that are interpolated
    (cubic, along y and then x) but the operator V Λ Vᴴ, which has neither freedom. Its vectors follow by one power
    iteration from the nearest grid point and a Ritz step; no C × C matrix is made at full resolution.

    values `(..., y, x, set)`, vectors `(..., y, x, coil, set)`, in and out.
    """
    for dim, across, length in ((-4, -3, shape[0]), (-3, -4, shape[1])):
        n_parts = count_parts(vectors, usable_threads(), IN_CACHE)
        parts = zip(values.tensor_split(n_parts, across + 1), vectors.tensor_split(n_parts, across), strict=True)
        found = side_by_side(lambda part, at=(dim, length): _along(*part, *at), list(parts), usable_threads())
        values, vectors = (torch.cat([one[n] for one in found], at) for n, at in enumerate((across + 1, across)))
    return values, vectors


def _along(values: Tensor, vectors: Tensor, dim: int, length: int) -> tuple[Tensor, Tensor]:
    """Resample along one axis."""
    neighbours, weights, nearest = _cubic(vectors.shape[dim], length, vectors.device)
    factors = vectors * values.clamp(min=0).sqrt().unsqueeze(-2)
    start = factors.index_select(dim, nearest)
    factors = factors.index_select(dim, neighbours.flatten()).unflatten(dim, neighbours.shape)
    factors = factors.movedim(dim, -2).flatten(-2)  # (..., y, x, coil, neighbour·set)
    weights = weights.repeat_interleave(vectors.shape[-1], dim=-1).unsqueeze(-1)
    weights = weights.unsqueeze(-3) if dim == -4 else weights  # (y, 1, ·, 1) or (x, ·, 1)
    vectors = _orthonormal(factors @ (weights * (factors.mH @ start)))
    overlap = factors.mH @ vectors
    return _ritz(vectors, overlap.mH @ (weights * overlap))


def align_phase(vectors: Tensor, reference: Tensor) -> Tensor:
    """Turn each vector so that its product with `reference` is real and positive: smooth maps, as coils are smooth.

    vectors `(..., y, x, coil, set)`, reference `(..., coil)`.
    """
    product = torch.einsum("...c,...yxcs->...yxs", reference.conj(), vectors)
    return vectors * torch.sgn(product).conj().unsqueeze(-2)


def with_phase_of(csm: Tensor, reference: Tensor) -> Tensor:
    """Turn coil maps `(..., set, coil, y, x)` so that their product with the coil combination `reference` `(coil,)` is
    real and positive: planes of a volume that share it have no jumps of phase between them."""
    product = torch.einsum("c,...cyx->...yx", reference.conj(), csm)
    return csm * torch.sgn(product).conj().unsqueeze(-3)


def principal_coil(acs: Tensor) -> Tensor:
    """Find the coil combination that receives most energy, the first virtual coil.

    Its own phase is fixed by making the largest entry real and positive, so that equal slices get equal maps.

    acs `(..., coil, ky, kx)` → `(..., coil)`.
    """
    samples = acs.flatten(-2)
    principal = torch.linalg.eigh(samples @ samples.mH).eigenvectors[..., -1]
    return turned(principal, dim=-1)


def _cubic(old: int, new: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Neighbours `(new, 4)`, their cubic convolution weights (Keys 1981) and the nearest point, on a periodic grid."""
    position = (torch.arange(new, device=device) - new // 2) * (old / new) + old // 2
    first = position.floor().long() - 1
    neighbours = first.unsqueeze(-1) + torch.arange(4, device=device)
    distance = (position.unsqueeze(-1) - neighbours).abs()
    inner = (1.5 * distance - 2.5) * distance**2 + 1
    outer = ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
    return neighbours % old, torch.where(distance <= 1, inner, outer), position.round().long() % old


def _largest_columns(operator: Tensor, n_columns: int) -> Tensor:
    """Columns with the largest diagonal entries, each after the earlier ones are projected out (pivoted Cholesky)."""
    columns = []
    for _ in range(n_columns):
        diagonal = torch.diagonal(operator, dim1=-2, dim2=-1).real
        pivot = diagonal.argmax(-1, keepdim=True)
        index = pivot.unsqueeze(-1).expand(*pivot.shape[:-1], operator.shape[-1], 1)
        column = operator.gather(-1, index)
        columns.append(column)
        scale = diagonal.gather(-1, pivot).unsqueeze(-1).clamp(min=torch.finfo(diagonal.dtype).tiny)
        operator = operator - column @ (column.mH / scale)
    return torch.cat(columns, dim=-1)


def _orthonormal(vectors: Tensor) -> Tensor:
    """Gram–Schmidt over the one or two sets; a vector without length stays zero."""
    columns: list[Tensor] = []
    for column in vectors.split(1, dim=-1):
        column = _unit(column)
        for earlier in columns:
            column = _unit(column - earlier @ (earlier.mH @ column))
        columns.append(column)
    return torch.cat(columns, dim=-1)


def _unit(column: Tensor) -> Tensor:
    energy = (column.mH @ column).real  # a matrix product: torch's norm is slower
    return column * energy.clamp(min=torch.finfo(energy.dtype).tiny).rsqrt()


def _ritz(vectors: Tensor, projected: Tensor) -> tuple[Tensor, Tensor]:
    """Rotate an orthonormal basis V to the eigenvectors of VᴴHV = `projected`, the largest first."""
    if vectors.shape[-1] == 1:
        return projected[..., 0].real, vectors
    values, rotation = torch.linalg.eigh(projected)
    return values.flip(-1), vectors @ rotation.flip(-1)


def _trace(operator: Tensor) -> Tensor:
    trace = torch.diagonal(operator, dim1=-2, dim2=-1).real.sum(-1)
    return trace.clamp(min=torch.finfo(trace.dtype).tiny)[..., None, None]
