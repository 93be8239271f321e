"""The noise map of an image that a kernel or a network of RAKI made, computed when it is asked for."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from gadgets.recon.reconstruction import Map
from kband_core.grappa import GrappaKernel
from kband_core.raki.gfactor import gfactor_map
from kband_core.raki.network import RakiNetwork
from kband_core.sampling import Grid


@dataclass(frozen=True)
class GFactor(Map):
    """The g-factor of what `weights` made of k-space `(z, coil, ky, kx)`, acquired as `sampling` says.

    `csm` `(z, set, coil, y, x)`: the maps that combined its coils, or None.
    """

    weights: RakiNetwork | GrappaKernel
    kspace: Tensor
    sampling: Grid
    csm: Tensor | None

    def compute(self) -> Tensor:
        combination = None if self.csm is None else self.csm[:, 0].conj()
        return gfactor_map(
            self.weights, self.kspace, self.sampling, combination=combination, linearisation="widely_linear"
        )
