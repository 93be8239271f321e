"""CG-SENSE."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from gadgets.gadget import field
from gadgets.items import ReconBuffer
from gadgets.recon.reconstruction import Method, Reconstruction, maps_of
from kband_core.coils import merge_sets
from kband_core.reconstruct import sense_sets

Regularisation = Annotated[float, field(ge=0, le=1, description="Tikhonov weight λ, relative to AᴴA ≤ 1")]
Iterations = Annotated[int, field(ge=1, le=500, description="conjugate-gradient iterations")]


@dataclass(frozen=True)
class Sense(Method):
    """SENSE with the maps of the buffer, one or two sets of them; any pattern of lines."""

    regularisation: Regularisation = 0.01
    n_iterations: Iterations = 20
    label: ClassVar[str] = "SENSE"

    def reconstruct(self, buffer: ReconBuffer) -> Reconstruction:
        csm = maps_of(buffer)
        kspace, sampling = buffer.planes()
        sets = sense_sets(kspace, sampling, csm, regularisation=self.regularisation, n_iterations=self.n_iterations)
        return Reconstruction(merge_sets(sets), sets=sets)
