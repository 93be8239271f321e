"""CG-SENSE."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from typing import Annotated, ClassVar

import torch

from gadgets.gadget import field
from gadgets.items import Calibration, ReconBuffer
from gadgets.recon.reconstruction import Method, Reconstruction, maps_of
from gadgets.recon.trial_planes import noise_planes, say, small_plane
from kband_core.coils import merge_sets
from kband_core.device import planes_at_once
from kband_core.reconstruct import record_sense, sense_sets
from kband_core.recorded import n_lost

Regularisation = Annotated[float, field(ge=0, le=1, description="Tikhonov weight λ, relative to AᴴA ≤ 1")]
Iterations = Annotated[int, field(ge=1, le=500, description="conjugate-gradient iterations")]

AT_ONCE = 4  # times the maps of a plane: what solving it takes


@dataclass(frozen=True)
class Sense(Method):
    """SENSE with the maps of the buffer, one or two sets of them; any pattern of lines."""

    regularisation: Regularisation = 0.01
    n_iterations: Iterations = 20
    label: ClassVar[str] = "SENSE"

    def prepare(self, calibration: Calibration) -> None:
        """Let a GPU be quicker at images of a single plane and one set of maps, which are those one waits for."""
        if calibration.acs.is_cuda and len(calibration.acs) == 1:
            _record_once(*small_plane(calibration), lost=n_lost(), **asdict(self))

    def reconstruct(self, buffer: ReconBuffer) -> Reconstruction:
        csm = maps_of(buffer)
        kspace, sampling = buffer.planes()
        solve = partial(sense_sets, **asdict(self))
        n_planes = planes_at_once(AT_ONCE * csm[0].numel() * csm.element_size(), csm.device)
        some = zip(kspace.split(n_planes), csm.split(n_planes), strict=True)
        sets = torch.cat([solve(some_kspace, sampling, some_csm) for some_kspace, some_csm in some])
        return Reconstruction(merge_sets(sets), sets=sets)


@lru_cache(maxsize=64)
def _record_once(
    device: torch.device, n_coils: int, matrix: tuple[int, int], regularisation: float, n_iterations: int, lost: int
) -> None:
    """Record it once for each shape, and again when more recordings are `lost`."""
    planes = noise_planes(device, n_coils, matrix)
    say(record_sense(*planes, regularisation=regularisation, n_iterations=n_iterations))
