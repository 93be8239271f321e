"""One plane as a network meets it: what it sees, and what it is judged by."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from kband_core.coils import merge_sets
from kband_core.noise import noise_level
from kband_core.operators import EncodingOperator, encoding_operator
from kband_core.reconstruct import zero_filled
from kband_core.sampling import Grid
from kband_core.scaling import plane_scale
from kband_core.shots import Shots, even_weight, shots_noise, shots_scale
from kband_core.training.dataset import Plane


@dataclass(frozen=True)
class Example:
    """One plane as a network meets it, divided by the scale of its central samples; a batch of them has one more axis.

    `kspace (coil, ky, kx)`, zero outside `sampling`; `csm (set, coil, y, x)`; `noise ()`, the SD of a sample; `target
    (coil, ky, kx)`, what was acquired; `weight` of every target sample, `(ky, kx)` or `(ky, 1)`. Along a trajectory ky
    and kx are shot and sample, `kspace` has the weights of its `Shots`, and `weight` counts the samples of a grid that
    a sample stands for.
    """

    kspace: Tensor
    sampling: Grid | Shots
    csm: Tensor
    noise: Tensor
    target: Tensor
    weight: Tensor

    def operator(self) -> EncodingOperator:
        """Return A of the samples that the network sees."""
        return encoding_operator(self.sampling, self.csm)

    def target_operator(self) -> EncodingOperator:
        """Return A of the samples that the network is judged by."""
        if isinstance(self.sampling, Shots):
            return encoding_operator(Shots(self.sampling.coords, (self.weight > 0).float()), self.csm)
        return encoding_operator(Grid(self.weight > 0), self.csm)

    def reference(self) -> Tensor:
        """Return the magnitude `(b, y, x)` of the image of all samples, of a batch of fully sampled planes."""
        if isinstance(self.sampling, Shots):
            return merge_sets(self.target_operator().adjoint(self.weight.unsqueeze(1) * self.target)).abs()
        return zero_filled(self.target, self.csm).abs()


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
    if plane.trajectory is not None:
        return _along(plane, seen, weight, sampled if scaled_by is None else scaled_by)
    kspace = plane.kspace * seen.mask * taper
    scale = plane_scale(kspace if scaled_by is None else plane.kspace * scaled_by.mask)
    noise = noise_level(plane.kspace, sampled.mask) / scale
    return Example(kspace / scale, seen, plane.csm, noise, plane.kspace / scale, weight.float())


def _along(plane: Plane, seen: Grid, weight: Tensor, sampled: Grid) -> Example:
    """The same along a trajectory."""
    coords, density, shape = plane.trajectory.coords, plane.trajectory.density, tuple(plane.csm.shape[-2:])
    scale = shots_scale(plane.kspace, coords, density * seen.mask, plane.csm)
    shots = sampled.lines()
    noise = shots_noise(plane.kspace[:, shots], coords[shots], shape) / scale
    sampling = Shots(coords, even_weight(coords) * seen.mask)
    n_pixels = shape[0] * shape[1]
    return Example(
        sampling.weight * plane.kspace / scale, sampling, plane.csm, noise, plane.kspace / scale,
        n_pixels * density * weight,
    )  # fmt: skip
