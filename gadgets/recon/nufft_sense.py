"""Images of samples along a trajectory: CG-SENSE, and gridding where that fails."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from torch import Tensor

from gadgets.gadget import field
from gadgets.items import ReconBuffer
from gadgets.recon.combined import sum_of_squares
from gadgets.recon.reconstruction import Method, Reconstruction, maps_of
from kband_core.coils import merge_sets
from kband_core.device import planes_at_once
from kband_core.nufft import adjoint_nufft
from kband_core.solvers import solve_normal
from kband_core.trajectory_operator import TrajectoryOperator

BYTES_PER_PIXEL = 2 * 4 * 8  # and coil: padded images before and after a transform

Regularisation = Annotated[float, field(ge=0, le=1, description="Tikhonov weight λ, relative to samples per pixel")]
Iterations = Annotated[
    int, field(ge=1, le=500, description="conjugate-gradient iterations: fewer of them regularise more")
]
Weighting = Annotated[
    Literal["none", "density"],
    field(description="of samples in the least squares; density: an image in fewer iterations, with more noise"),
]


@dataclass(frozen=True)
class NufftSense(Method):
    """SENSE with the maps of the buffer, along any trajectory (Pruessmann 2001).

    Unweighted least squares converge slowly: the number of iterations is a part of the method, and the meta tells it.
    Weighted by the density of samples, a third of them do.
    """

    regularisation: Regularisation = 0.001
    n_iterations: Iterations = 15
    weighting: Weighting = "none"
    label: ClassVar[str] = "NUFFT-SENSE"

    def reconstruct(self, buffer: ReconBuffer) -> Reconstruction:
        csm, sampling, notes = maps_of(buffer), buffer.sampling[0, 0, 0], _uncorrected(buffer)
        weight, kspace = None, shot_planes(buffer)
        if self.weighting == "density":
            notes, weight = {**notes, "kband_weighting": self.weighting}, sampling.density / sampling.density.mean()
        regularisation = self.regularisation * sampling.shape.numel() / csm.shape[-2:].numel()
        n_z = planes_at_once(BYTES_PER_PIXEL * csm[0].numel(), csm.device)
        images = []
        for some, of_some in zip(kspace.split(n_z), csm.split(n_z), strict=True):  # all by one transfer function
            operator = TrajectoryOperator(sampling, of_some, weight)
            b = operator.adjoint(some if weight is None else some * weight.sqrt())
            images.append(merge_sets(solve_normal(operator, b, regularisation, self.n_iterations)))
        return Reconstruction(torch.cat(images), notes={"kband_iterations": str(self.n_iterations), **notes})


@dataclass(frozen=True)
class Gridding(Method):
    """Density times samples, transformed; coils by root sum of squares: it needs no maps, and streaks."""

    label: ClassVar[str] = "gridding"

    def reconstruct(self, buffer: ReconBuffer) -> Reconstruction:
        y, x = buffer.encoding.image_grid
        sampling = buffer.sampling[0, 0, 0]
        images = []
        for plane in shot_planes(buffer):
            coil_image = adjoint_nufft(torch.nan_to_num(plane) * sampling.density, sampling.coords, (y, x)) * (y * x)
            images.append(sum_of_squares(coil_image, buffer))
        return Reconstruction(torch.stack(images), notes=_uncorrected(buffer))


def shot_planes(buffer: ReconBuffer) -> Tensor:
    """Return the samples of a single image, `(z, coil, shot, sample)`: one plane, or those of a stack."""
    kspace = buffer.kspace[0, 0, 0]
    return kspace[None] if kspace.ndim == 3 else kspace.movedim(1, 0)


def _uncorrected(buffer: ReconBuffer) -> dict[str, str]:
    """Long readouts blur where the field is off; the meta says that nothing was done about it."""
    return {"kband_off_resonance": "not corrected"} if buffer.encoding.trajectory == "spiral" else {}
