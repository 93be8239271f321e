"""Compare an image with acquired k-space samples, coil by coil.

The encoding operator A says what every coil would have measured of the image `(b, set, y, x)`. That is compared with
the samples `(b, coil, ky, kx)` themselves, or `(b, coil, shot, sample)` along trajectories: no target image is needed,
which a band cannot give.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from kband_core.axes import check_axes
from kband_core.operators import EncodingOperator
from kband_core.shots import Shots

Norm = Literal["l1", "l2"]


def kspace_loss(
    image: Tensor, operator: EncodingOperator, target: Tensor, weight: Tensor, *, norm: Norm = "l1"
) -> Tensor:
    """Return the mean over all b·coil·ky·kx samples of weight·|A x − target|, or of the squares for `l2`.

    `weight` `(b, ky, kx)` or `(b, ky, 1)` is W·B, 0 where there is no target. The mean also counts those samples:
    divided by the sum of the band's own weights it would no longer be the full loss on average. With |·| the complex
    modulus, one sample's part of the gradient is bounded however far off it is.

    Wang et al., K-band, arXiv 2308.02958, Corollaries 3.1 and 3.3.
    """
    return weighted_distance(_difference(image, operator, target, weight), weight, norm=norm)


def weighted_distance(difference: Tensor, weight: Tensor, *, norm: Norm) -> Tensor:
    """Return the mean of weight·|d|, or of weight·|d|² for `l2`; d `(b, coil, ky, kx)`, `weight` without coils."""
    if norm not in get_args(Norm):
        raise ValueError(f"kspace_loss: no norm '{norm}'; there are {', '.join(get_args(Norm))}")
    distance = difference.abs()
    if norm == "l2":
        distance = distance.square()
    return (weight.unsqueeze(-3) * distance).mean()


def normalised_loss(image: Tensor, operator: EncodingOperator, target: Tensor, loss_mask: Tensor) -> Tensor:
    """Return ½‖d‖₂/‖y‖₂ + ½‖d‖₁/‖y‖₁ of the samples in `loss_mask` Λ `(b, ky, kx)` or `(b, ky, 1)`; the batch mean.

    d = A x − y, over all coils of a plane; ‖·‖₁ sums the magnitudes of real and imaginary parts. Every plane counts
    alike, however bright; the ratio of sums makes it unfit for bands, which see a part of both.

    Yaman et al., Self-supervised learning of physics-guided reconstruction, MRM 84:3172 (2020).
    """
    chosen = loss_mask.unsqueeze(-3)
    difference = torch.view_as_real(chosen * _difference(image, operator, target, loss_mask)).flatten(-4)
    measured = torch.view_as_real(chosen * target).flatten(-4)
    ratio = sum(
        torch.linalg.vector_norm(difference, order, dim=-1) / torch.linalg.vector_norm(measured, order, dim=-1)
        for order in (1, 2)
    )
    return ratio.mean() / 2


def relative_image_loss(image: Tensor, operator: EncodingOperator, target: Tensor) -> Tensor:
    """Return the mean of ln ‖d‖₂/‖r‖₂ and ln ‖d‖₁/‖r‖₁, d = x − r, over the planes of a batch; all samples needed.

    r = Aᴴy is the coil combination of the fully sampled `target` `(b, coil, ky, kx)`, along a trajectory times its
    density, which an image `(b, set, y, x)` would be compared with. A logarithm weighs a gain of one decibel alike in
    noisy planes and in clean ones.
    """
    reference = operator.adjoint(target)
    images = torch.stack([image - reference, reference]).flatten(2)
    of_difference, of_reference = torch.stack(
        [torch.linalg.vector_norm(images, order, dim=-1) for order in (1, 2)]
    ).unbind(1)
    return _mean_log_ratio(of_difference, of_reference)


def relative_part_loss(image: Tensor, operator: EncodingOperator, target: Tensor, weight: Tensor) -> Tensor:
    """Return ln ‖Aᴴ√w d‖₂ − ln ‖Aᴴ√w y‖₂, d = A x − y, of a part of k-space, the mean over the planes of a batch.

    `target` y `(b, coil, ky, kx)`, `weight` w `(b, ky, kx)` or `(b, ky, 1)`, 0 outside the part. A logarithm weighs a
    gain alike in noisy planes and in clean ones, as `relative_image_loss` does. Combining the coils first leaves out
    what no image can change: of n coils' noise all but a share of 1/n, beside which a noisy plane's gain would not
    count. The gradient is that of `kspace_loss` with `l2`, but for the size that each plane gives it.
    """
    of_difference, of_target = (
        torch.linalg.vector_norm(operator.adjoint(weight.sqrt().unsqueeze(-3) * samples).flatten(1), dim=-1)
        for samples in (_difference(image, operator, target, weight), target)
    )
    return _mean_log_ratio(of_difference, of_target)


def _mean_log_ratio(lengths: Tensor, others: Tensor) -> Tensor:
    tiny = torch.finfo(lengths.dtype).tiny  # of nothing the logarithm is finite, too
    return (lengths.clamp(min=tiny).log() - others.clamp(min=tiny).log()).mean()


def _difference(image: Tensor, operator: EncodingOperator, target: Tensor, weight: Tensor) -> Tensor:
    if isinstance(operator.sampling, Shots):
        pixels, samples, weights = "y x", "shot sample", "shot sample"
    else:
        pixels, samples, weights = "ky kx", "ky kx", "ky line" if weight.shape[-1] == 1 else "ky kx"
    check_axes(
        image=(image, f"b set {pixels}"),
        csm=(operator.csm, f"b set coil {pixels}"),
        target=(target, f"b coil {samples}"),
        weight=(weight, f"b {weights}"),
    )
    return operator.forward(image) - target
