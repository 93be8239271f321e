"""Coil sensitivity maps, estimated while the scan still runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal

import torch
from torch import Tensor

from gadgets.coils.contradicting_lines import mended, without_contradiction
from gadgets.coils.per_slice import PerSlice
from gadgets.encoding import Encoding
from gadgets.gadget import Gadget, field
from gadgets.items import Calibration, ReconBuffer
from kband_core.calibration import coil_maps, espirit_maps, walsh_maps
from kband_core.fourier import resize
from kband_core.sampling import Grid


@dataclass
class CoilSensitivities(Gadget):
    """Estimate coil sensitivity maps from calibration lines: at the `Calibration` item, for the buffers that follow it.

    A buffer whose calibration lines are those of the item gets the maps that are ready; others are estimated then.
    Without usable lines the buffer passes without maps and says why.
    """

    accepts: ClassVar[tuple[type, ...]] = (Calibration, ReconBuffer)
    emits: ClassVar[tuple[type, ...]] = (Calibration, ReconBuffer)

    method: Annotated[Literal["espirit", "walsh"], field(description="how maps are estimated")] = "espirit"
    n_sets: Annotated[int, field(ge=1, le=2, description="sets of ESPIRiT maps; with 1, 2 where lines need them")] = 1
    acs_lines: Annotated[int, field(ge=6, le=512, description="calibration lines used, from the centre")] = 24

    def process(self, items: Iterable[Calibration | ReconBuffer]) -> Iterator[Calibration | ReconBuffer]:
        """Attach maps [slice z set coil y x] to each buffer."""
        maps = PerSlice("CoilSensitivities", self._maps)
        for item in items:
            if isinstance(item, Calibration):
                yield self._prepared(item, maps)
            else:
                yield self._with_maps(item, maps)

    def _prepared(self, item: Calibration, maps: PerSlice[tuple[Tensor, Tensor]]) -> Calibration:
        for _, csm in maps.prepare(item):
            acs = without_contradiction(item.acs, csm)
            if acs is not item.acs:
                item = replace(item, acs=acs)
                maps.prepare(item)
        return item

    def _with_maps(self, buffer: ReconBuffer, maps: PerSlice[tuple[Tensor, Tensor]]) -> ReconBuffer:
        try:
            found = maps.of(buffer)
            if len(found) == 1 and isinstance(buffer.sampling, Grid):
                buffer = mended(buffer, found[0][1])
                found = maps.of(buffer)
            csm, all_maps = (_stacked(each) for each in zip(*found, strict=True))
            return replace(buffer, csm=csm, all_maps=all_maps)
        except (ValueError, RuntimeError) as error:
            return replace(buffer, problems=(*buffer.problems, f"CoilSensitivities: {error}"))

    def _maps(self, acs: Tensor, encoding: Encoding, matrix: tuple[int, int]) -> list[tuple[Tensor, Tensor]]:
        """For ACS `(slice, z, coil, ky, kx)` the maps of each slice, certain ones and all; all slices in one call."""
        acs = resize(acs, [min(self.acs_lines, acs.shape[-2])], [-2])
        if self.method == "walsh" or self.n_sets == 2:
            espirit = self.method == "espirit"
            csm = espirit_maps(acs, matrix, n_sets=2, above_noise=True) if espirit else walsh_maps(acs, matrix)
            return [(one, one) for one in csm]
        maps = coil_maps(acs, matrix)
        return list(zip(maps.certain(), maps.csm, strict=True))


def _stacked(maps: Sequence[Tensor]) -> Tensor:
    """Maps of slices `(slice, z, set, coil, y, x)`, with an empty second set where only others need two."""
    if len(maps) == 1:
        return maps[0].unsqueeze(0)  # without a copy
    n_sets = max(csm.shape[1] for csm in maps)
    empty = [csm.new_zeros(len(csm), n_sets - csm.shape[1], *csm.shape[2:]) for csm in maps]
    return torch.stack([torch.cat(parts, 1) for parts in zip(maps, empty, strict=True)])
