"""One plane as a network meets it: what it sees, and what it is judged by."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from kband_core.noise import noise_level
from kband_core.operators import EncodingOperator, encoding_operator
from kband_core.sampling import Grid
from kband_core.scaling import plane_scale
from kband_core.training.dataset import Plane


@dataclass(frozen=True)
class Example:
    """One plane as a network meets it, divided by the scale of its central samples; a batch of them has one more axis.

    `kspace (coil, ky, kx)`, zero outside `sampling`; `csm (set, coil, y, x)`; `noise ()`, the SD of a sample; `target
    (coil, ky, kx)`, what was acquired; `weight` of every target sample, `(ky, kx)` or `(ky, 1)`.
    """

    kspace: Tensor
    sampling: Grid
    csm: Tensor
    noise: Tensor
    target: Tensor
    weight: Tensor

    def operator(self) -> EncodingOperator:
        """Return A of the samples that the network sees."""
        return encoding_operator(self.sampling, self.csm)

    def target_operator(self) -> EncodingOperator:
        """Return A of the samples that the network is judged by."""
        return encoding_operator(Grid(self.weight > 0), self.csm)


def make_example(
    plane: Plane,
    seen: Grid,
    weight: Tensor,
    sampled: Grid,
    *,
    taper: Tensor | float = 1.0,
    scaled_by: Grid | None = None,
) -> Example:
    """Scale as at work, by all samples that a scan would have: those `seen`, or `scaled_by`.

    The noise is told from all that was `sampled`, as it is at work: a band alone has no end of the readout.
    """
    kspace = plane.kspace * seen.mask * taper
    scale = plane_scale(kspace if scaled_by is None else plane.kspace * scaled_by.mask)
    noise = noise_level(plane.kspace, sampled.mask) / scale
    return Example(kspace / scale, seen, plane.csm, noise, plane.kspace / scale, weight.float())
