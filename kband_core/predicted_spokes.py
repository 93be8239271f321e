"""CG-SENSE of spokes that were measured, together with spokes of the image that were predicted and count less."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from kband_core.nufft import adjoint_nufft, normal_nufft, normal_spectrum
from kband_core.operators import EncodingOperator
from kband_core.projections import Spokes
from kband_core.shots import even_weight
from kband_core.solvers import solve_normal


def agreed(
    operator: EncodingOperator, b: Tensor, predicted: Sequence[tuple[Spokes, Tensor]], weight: Tensor,
    regularisation: Tensor | float, n_iterations: int,
) -> Tensor:  # fmt: skip
    """Minimise ‖A x − y‖² + weight·‖W(F x − z)‖² + λ‖x‖²: image sets `(b, set, y, x)`.

    A is the `operator`, `b` Aᴴy, `weight` `(b,)`. For each plane of the batch `predicted` has spokes and their samples
    z `(set, spoke, sample)`, which are of the image, not of a coil; W is `even_weight`, and 0 beyond the band of
    projections.
    """
    shape, spectra, right = tuple(b.shape[-2:]), [], []
    for (spokes, samples), counts in zip(predicted, weight, strict=True):
        coords = spokes.coords(shape)
        squared = counts * (even_weight(coords) * spokes.inside).square()
        spectra.append(normal_spectrum(coords, shape, squared))
        right.append(adjoint_nufft(samples * squared, coords, shape))
    both = _Both(operator, torch.stack(spectra)[:, None])
    return solve_normal(both, b + torch.stack(right), regularisation, n_iterations)


class _Both:
    """AᴴA of measured spokes and of predicted ones, a convolution."""

    def __init__(self, measured: EncodingOperator, spectra: Tensor) -> None:
        self._measured, self._spectra = measured, spectra

    def normal(self, image: Tensor) -> Tensor:
        return self._measured.normal(image) + normal_nufft(image, self._spectra)
