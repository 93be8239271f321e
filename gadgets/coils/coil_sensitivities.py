"""Coil sensitivity maps, estimated while the scan still runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal

import torch
from torch import Tensor

from gadgets.coils.per_slice import PerSlice
from gadgets.gadget import Gadget, field
from gadgets.items import Calibration, ReconBuffer
from gadgets.scan import Encoding
from kband_core.calibration import coil_maps, espirit_maps, walsh_maps
from kband_core.consistency import DOUBLED, contradicting_lines, doubled_share
from kband_core.fourier import resize
from kband_core.mending import mend_calibration


@dataclass
class CoilSensitivities(Gadget):
    """Estimate coil sensitivity maps from calibration lines: at the `Calibration` item, for the buffers that follow it.

    A buffer whose calibration lines are those of the item gets the maps that are ready; others are estimated then.
    Without usable lines the buffer passes without maps and says why.
    """

    accepts: ClassVar[tuple[type, ...]] = (Calibration, ReconBuffer)
    emits: ClassVar[tuple[type, ...]] = (Calibration, ReconBuffer)

    method: Annotated[Literal["espirit", "walsh"], field(description="how maps are estimated")] = "espirit"
    n_sets: Annotated[int, field(ge=1, le=2, description="sets of ESPIRiT maps; 2 for a wrapped field of view")] = 1
    acs_lines: Annotated[int, field(ge=6, le=512, description="calibration lines used, from the centre")] = 24

    def process(self, items: Iterable[Calibration | ReconBuffer]) -> Iterator[Calibration | ReconBuffer]:
        """Attach maps [slice z set coil y x] to each buffer."""
        maps = PerSlice("CoilSensitivities", self._maps)
        for item in items:
            if isinstance(item, Calibration):
                item = replace(item, acs=_without_contradiction(item.acs, maps.prepare(item)))
                maps.prepare(item)
                yield item
            else:
                yield self._with_maps(item, maps)

    def _with_maps(self, buffer: ReconBuffer, maps: PerSlice[tuple[Tensor, Tensor]]) -> ReconBuffer:
        try:
            found = maps.of(buffer)
            buffer = _mended(buffer, found)
            found = maps.of(buffer)
            csm, all_maps = (_stacked(each) for each in zip(*found, strict=True))
            return replace(buffer, csm=csm, all_maps=all_maps)
        except (ValueError, RuntimeError) as error:
            return replace(buffer, problems=(*buffer.problems, f"CoilSensitivities: {error}"))

    def _maps(self, acs: Tensor, encoding: Encoding, matrix: tuple[int, int]) -> list[tuple[Tensor, Tensor]]:
        """ACS `(slice, ..., coil, ky, kx)` to maps `(..., set, coil, y, x)` of each slice, certain ones and all."""
        acs = resize(acs, [min(self.acs_lines, acs.shape[-2])], [-2])
        if self.method == "walsh":
            return [(csm, csm) for csm in walsh_maps(acs, matrix)]
        if self.n_sets == 2:
            return [(csm, csm) for csm in espirit_maps(acs, matrix, n_sets=2, above_noise=True)]
        maps = coil_maps(acs, matrix)
        return list(zip(maps.certain(), maps.csm, strict=True))


def _stacked(maps: Sequence[Tensor]) -> Tensor:
    """Maps of slices `(slice, z, set, coil, y, x)`, with an empty second set where only others need two."""
    n_sets = max(csm.shape[1] for csm in maps)
    empty = [csm.new_zeros(len(csm), n_sets - csm.shape[1], *csm.shape[2:]) for csm in maps]
    return torch.stack([torch.cat(parts, 1) for parts in zip(maps, empty, strict=True)])


def _without_contradiction(acs: Tensor, maps: list[tuple[Tensor, Tensor]]) -> Tensor:
    """Calibration lines `(z, coil, ky, kx)`; where they contradict one another, without those that fit to no other."""
    if not maps or doubled_share(maps[0][1][0]) <= DOUBLED:
        return acs
    broken = torch.zeros(acs.shape[-2], dtype=torch.bool)
    broken[contradicting_lines(acs[0])] = True
    return torch.stack([mend_calibration(plane, broken) for plane in acs]) if broken.any() else acs


def _mended(buffer: ReconBuffer, maps: list[tuple[Tensor, Tensor]]) -> ReconBuffer:
    if len(buffer.acs) > 1:
        return buffer
    acs = _without_contradiction(buffer.acs[0], maps)
    if acs is buffer.acs[0] or torch.equal(acs, buffer.acs[0]):
        return buffer
    kspace, changed = buffer.kspace.clone(), (acs != buffer.acs[0]).any(-1).any(0).any(0)
    first = kspace.shape[-2] // 2 - acs.shape[-2] // 2 if buffer.acs_row is None else buffer.acs_row
    for line in changed.nonzero().flatten().tolist():
        if buffer.mask[0, 0, 0, 0, first + line]:
            kspace[0, 0, 0, :, :, first + line] = acs[:, :, line].movedim(0, 1)
    where = first + int(changed.nonzero()[0])
    problem = f"{int(changed.sum())} lines fit to no others and were made again, first {where}"
    return replace(buffer, acs=acs[None], kspace=kspace, problems=(*buffer.problems, problem))
