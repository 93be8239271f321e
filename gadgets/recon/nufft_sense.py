"""Images of samples along a trajectory: CG-SENSE, and gridding where that fails."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch

from gadgets.gadget import field
from gadgets.items import ReconBuffer
from gadgets.recon.combined import sum_of_squares
from gadgets.recon.reconstruction import Method, Reconstruction, maps_of
from kband_core.coils import merge_sets
from kband_core.nufft import adjoint_nufft
from kband_core.reconstruct import sense
from kband_core.solvers import solve_normal
from kband_core.trajectory_operator import TrajectoryOperator

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
        csm, sampling = maps_of(buffer), buffer.sampling[0, 0, 0]
        regularisation = self.regularisation * sampling.shape.numel() / csm.shape[-2:].numel()
        notes = {"kband_iterations": str(self.n_iterations), **_uncorrected(buffer)}
        if self.weighting == "none":
            image = sense(buffer.kspace[0, 0], sampling, csm, regularisation=regularisation,
                          n_iterations=self.n_iterations)  # fmt: skip
            return Reconstruction(image, notes=notes)
        weight = sampling.density / sampling.density.mean()
        operator = TrajectoryOperator(sampling, csm, weight)
        b = operator.adjoint(buffer.kspace[0, 0] * weight.sqrt())
        image = merge_sets(solve_normal(operator, b, regularisation, self.n_iterations))
        return Reconstruction(image, notes={**notes, "kband_weighting": self.weighting})


@dataclass(frozen=True)
class Gridding(Method):
    """Density times samples, transformed; coils by root sum of squares: it needs no maps, and streaks."""

    label: ClassVar[str] = "gridding"

    def reconstruct(self, buffer: ReconBuffer) -> Reconstruction:
        x, y, _ = buffer.encoding.recon_matrix
        sampling = buffer.sampling[0, 0, 0]
        weighted = torch.nan_to_num(buffer.kspace[0, 0]) * sampling.density
        coil_image = adjoint_nufft(weighted, sampling.coords, (y, x)) * (y * x)
        return Reconstruction(sum_of_squares(coil_image, buffer), notes=_uncorrected(buffer))


def _uncorrected(buffer: ReconBuffer) -> dict[str, str]:
    """Long readouts blur where the field is off; the meta says that nothing was done about it."""
    return {"kband_off_resonance": "not corrected"} if buffer.encoding.trajectory == "spiral" else {}
