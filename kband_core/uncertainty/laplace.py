"""The loss that teaches a network to say how large an error will be."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import softplus


def laplace_loss(error: Tensor, scale: Tensor) -> Tensor:
    """Return the mean of |e|/σ + ln σ: the negative log-likelihood of Laplace's law, up to a constant.

    It is least where the `scale` σ > 0 is the expected |e| of all that looks alike. `error` may be complex. Raises
    `ValueError` for unequal shapes: broadcast, one example's error would be held against another's σ.

    Kendall and Gal, NeurIPS 2017; as in UP-Net.
    """
    if error.shape != scale.shape:
        raise ValueError(f"laplace_loss: errors {tuple(error.shape)} but scales {tuple(scale.shape)}, equal expected")
    return (error.abs() / scale + scale.log()).mean()


def positive(raw: Tensor, least: float) -> Tensor:
    """Return `least` + softplus of `raw`: what a network may say of a scale, never zero."""
    return softplus(raw) + least
