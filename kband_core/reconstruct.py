"""One door to every reconstruction: k-space in, image out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from kband_core.coils import combine, merge_sets, root_sum_of_squares
from kband_core.fourier import to_image
from kband_core.grappa import GrappaKernel, apply_grappa
from kband_core.noise import noise_level
from kband_core.operators import Sense
from kband_core.scaling import plane_scale
from kband_core.solvers import conjugate_gradient


def zero_filled(kspace: Tensor, csm: Tensor | None = None) -> Tensor:
    """Transform k-space `(..., coil, ky, kx)` as it is and combine the coils: `(..., y, x)` complex64.

    With maps `(..., set, coil, y, x)` combined by them, without by root sum of squares.
    """
    coil_image = to_image(kspace)
    if csm is None:
        return root_sum_of_squares(coil_image).to(kspace.dtype)
    return merge_sets(combine(coil_image, csm))


def sense(kspace: Tensor, mask: Tensor, csm: Tensor, *, regularisation: float, n_iterations: int) -> Tensor:
    """Reconstruct by CG-SENSE: min ‖A x − y‖² + λ‖x‖² (Pruessmann 2001), soft SENSE with two sets of maps.

    `kspace` `(..., coil, ky, kx)`, `mask` `(..., ky, kx)` or `(..., ky, 1)`, `csm` `(..., set, coil, y, x)`;
    returns `(..., y, x)`. λ compares with the largest eigenvalue of AᴴA, which is at most 1.
    """
    return merge_sets(sense_sets(kspace, mask, csm, regularisation=regularisation, n_iterations=n_iterations))


def sense_sets(kspace: Tensor, mask: Tensor, csm: Tensor, *, regularisation: float, n_iterations: int) -> Tensor:
    """Reconstruct like `sense`, one image for each set of maps: `(..., set, y, x)`."""
    operator = Sense(csm, mask)
    return conjugate_gradient(
        lambda x: operator.normal(x) + regularisation * x, operator.adjoint(kspace), n_iterations
    )


def grappa(kspace: Tensor, mask: Tensor, kernel: GrappaKernel, csm: Tensor | None = None) -> Tensor:
    """Fill the missing lines of `kspace` `(..., coil, ky, kx)` with a GRAPPA kernel and combine: `(..., y, x)`.

    `mask` bool `(ky,)`, the acquired lines.
    """
    return zero_filled(apply_grappa(kernel, kspace, mask), csm)


@torch.no_grad()
def network(kspace: Tensor, mask: Tensor, csm: Tensor, model: nn.Module) -> Tensor:
    """Reconstruct by a trained network of `kband_core.networks`; scaled as in training, and back again.

    `kspace` `(b, coil, ky, kx)`, zero where nothing was acquired; `mask` `(b, ky, kx)` or `(b, ky, 1)`, b or 1;
    `csm` `(b, set, coil, y, x)`; returns `(b, y, x)`. Each of the b planes is scaled by its own.
    """
    return merge_sets(network_sets(kspace, mask, csm, model))


@torch.no_grad()
def network_sets(kspace: Tensor, mask: Tensor, csm: Tensor, model: nn.Module) -> Tensor:
    """Reconstruct like `network`, one image for each set of maps: `(b, set, y, x)`."""
    scale, noise = plane_scale(kspace), noise_level(kspace, mask)
    image = model(kspace / scale[:, None, None, None], mask.expand(len(kspace), -1, -1), csm, noise / scale)
    return image * scale[:, None, None, None]


def check_image(image: Tensor) -> Tensor:
    """Return `image` if a person can be shown it. Raises `ValueError` if it holds NaN or infinity, or only zeros."""
    if not torch.isfinite(torch.view_as_real(image)).all():
        raise ValueError("the image is not finite")
    if not image.any():
        raise ValueError("the image is zero everywhere")
    return image
