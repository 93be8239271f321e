"""CG-SENSE."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Annotated, ClassVar

import torch

from gadgets.gadget import field
from gadgets.items import ReconBuffer
from gadgets.recon.reconstruction import Method, Reconstruction, maps_of
from kband_core.coils import merge_sets
from kband_core.device import planes_at_once
from kband_core.reconstruct import sense_sets

Regularisation = Annotated[float, field(ge=0, le=1, description="Tikhonov weight λ, relative to AᴴA ≤ 1")]
Iterations = Annotated[int, field(ge=1, le=500, description="conjugate-gradient iterations")]

AT_ONCE = 4  # times the maps of a plane: what solving it takes


@dataclass(frozen=True)
class Sense(Method):
    """SENSE with the maps of the buffer, one or two sets of them; any pattern of lines."""

    regularisation: Regularisation = 0.01
    n_iterations: Iterations = 20
    label: ClassVar[str] = "SENSE"

    def reconstruct(self, buffer: ReconBuffer) -> Reconstruction:
        csm = maps_of(buffer)
        kspace, sampling = buffer.planes()
        solve = partial(sense_sets, regularisation=self.regularisation, n_iterations=self.n_iterations)
        n_planes = planes_at_once(AT_ONCE * csm[0].numel() * csm.element_size(), csm.device)
        some = zip(kspace.split(n_planes), csm.split(n_planes), strict=True)
        sets = torch.cat([solve(some_kspace, sampling, some_csm) for some_kspace, some_csm in some])
        return Reconstruction(merge_sets(sets), sets=sets)
