"""One plane as a network meets it: what it sees, and what it is judged by."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from kband_core.noise import noise_level
from kband_core.scaling import plane_scale
from kband_core.training.dataset import Plane


@dataclass(frozen=True)
class Example:
    """One plane as a network meets it, divided by the scale of its central samples.

    `kspace (coil, ky, kx)`, zero outside `mask` `(ky, kx)` or `(ky, 1)`; `csm (set, coil, y, x)`; `noise ()`, the SD of
    a sample; `target (coil, ky, kx)`, what was acquired; `weight` of every target sample, `(ky, kx)` or `(ky, 1)`.
    """

    kspace: Tensor
    mask: Tensor
    csm: Tensor
    noise: Tensor
    target: Tensor
    weight: Tensor


def make_example(
    plane: Plane,
    mask: Tensor,
    weight: Tensor,
    sampled: Tensor,
    *,
    taper: Tensor | float = 1.0,
    scaled_by: Tensor | None = None,
) -> Example:
    """Scale as at work, by all samples that a scan would have: the input, or `scaled_by`.

    The noise is told from all that was `sampled`, as it is at work: a band alone has no end of the readout.
    """
    kspace = plane.kspace * mask * taper
    scale = plane_scale(kspace if scaled_by is None else plane.kspace * scaled_by)
    noise = noise_level(plane.kspace, sampled) / scale
    return Example(kspace / scale, mask, plane.csm, noise, plane.kspace / scale, weight.float())
