"""Coil sensitivity maps, estimated while the scan still runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Annotated, ClassVar, Literal

import torch
from torch import Tensor

from gadgets.coils.contradicting_lines import mended, without_contradiction
from gadgets.coils.per_slice import PerSlice
from gadgets.encoding import Encoding
from gadgets.gadget import Gadget, field
from gadgets.items import Calibration, ReconBuffer
from kband_core.calibration import coil_maps, espirit_maps, walsh_maps
from kband_core.device import in_same_memory, planes_at_once
from kband_core.eigenmaps import principal_coil, with_phase_of
from kband_core.fourier import resize
from kband_core.maps_ahead import MapsAhead
from kband_core.noise import noise_level
from kband_core.sampling import Grid

COARSE = 32  # points of the grid of eigenvectors, of many x: a quarter of the time, and 1 % more error of SENSE at most
BYTES_PER_PIXEL = 8 * 16  # and coil: eigenvectors of four neighbours, two sets of them, twice


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
        of_planes, of_turned = (PerSlice("CoilSensitivities", maps) for maps in (self._plane_maps, self._turned_maps))
        for item in items:
            maps = of_turned if item.turned else of_planes
            if isinstance(item, Calibration):
                yield self._prepared(item, maps)
            else:
                yield self._with_maps(item, maps)

    def _prepared(self, item: Calibration, maps: PerSlice[_Maps]) -> Calibration:
        found = maps.prepare(item)
        if item.turned or item.encoding.multiband > 1 or not found or in_same_memory(found[0].sound, item.acs):
            return item
        item = replace(item, acs=found[0].sound)
        maps.prepare(item)
        return item

    def _with_maps(self, buffer: ReconBuffer, maps: PerSlice[_Maps]) -> ReconBuffer:
        try:
            found = maps.of(buffer)
            if len(found) == 1 and isinstance(buffer.sampling, Grid) and not (buffer.turned or buffer.bands):
                buffer = mended(buffer, found[0].sound)
                found = maps.of(buffer)
            csm, all_maps = _stacked([one.certain for one in found]), _stacked([one.all for one in found])
            return replace(buffer, csm=csm, all_maps=all_maps, ahead=found[0].ahead if len(found) == 1 else None)
        except (ValueError, RuntimeError) as error:
            return replace(buffer, problems=(*buffer.problems, f"CoilSensitivities: {error}"))

    def _plane_maps(self, acs: Tensor, encoding: Encoding, matrix: tuple[int, int]) -> list[_Maps]:
        """The `_maps` of each slice, and what they tell ahead of the image."""
        found = zip(acs, self._maps(acs, encoding, matrix), strict=True)
        return [_Maps(lines, csm, all_maps, _ahead(csm, all_maps)) for lines, (csm, all_maps) in found]

    def _maps(
        self, acs: Tensor, encoding: Encoding, matrix: tuple[int, int], noise: Tensor | None = None
    ) -> list[tuple[Tensor, Tensor]]:
        """For ACS `(slice, z, coil, ky, kx)` the maps of each slice, certain ones and all; all slices in one call."""
        acs = resize(acs, [min(self.acs_lines, acs.shape[-2])], [-2])
        if self.method == "walsh" or self.n_sets == 2:
            espirit = self.method == "espirit"
            csm = espirit_maps(acs, matrix, n_sets=2, above_noise=True) if espirit else walsh_maps(acs, matrix)
            return [(one, one) for one in csm]
        maps = coil_maps(acs, matrix) if noise is None else coil_maps(acs, matrix, noise=noise, eigen_grid=COARSE)
        return list(zip(maps.certain(), maps.csm, strict=True))

    def _turned_maps(self, acs: Tensor, encoding: Encoding, matrix: tuple[int, int]) -> list[_Maps]:
        """The same for ACS `(slice, x, coil, kz, ky)`, some x at a time; the phase of all x refers to one coil."""
        acs = resize(acs, [min(self.acs_lines, n) for n in acs.shape[-2:]])
        reference = principal_coil(acs.movedim(-3, -4).flatten(-3, -2))
        n_x = planes_at_once(BYTES_PER_PIXEL * acs.shape[-3] * matrix[0] * matrix[1], acs.device)
        return [
            _Maps(volume, *(with_phase_of(csm, coil) for csm in self._some_at_a_time(volume, matrix, encoding, n_x)))
            for volume, coil in zip(acs, reference, strict=True)
        ]

    def _some_at_a_time(
        self, volume: Tensor, matrix: tuple[int, int], encoding: Encoding, n_x: int
    ) -> Iterator[Tensor]:
        noise = noise_level(volume, torch.ones_like(volume[:, 0], dtype=torch.bool)).median()
        parts = [self._maps(part[None], encoding, matrix, noise)[0] for part in volume.split(n_x)]
        for csm in zip(*parts, strict=True):
            n_sets = max(part.shape[1] for part in csm)
            yield torch.cat([_with_sets(part, n_sets) for part in csm])


@dataclass(frozen=True)
class _Maps:
    """Maps `(z, set, coil, y, x)` of one slice from its calibration lines `(z, coil, ky, kx)`, certain ones and all."""

    acs: Tensor
    certain: Tensor
    all: Tensor
    ahead: tuple[MapsAhead, MapsAhead] | None = None  # what these tell

    @cached_property
    def sound(self) -> Tensor:
        """The calibration lines, of which none contradicts the others."""
        return without_contradiction(self.acs, self.all)


def _ahead(csm: Tensor, all_maps: Tensor) -> tuple[MapsAhead, MapsAhead] | None:
    """What maps `(z, set, coil, y, x)` tell, certain ones and all; of one plane, for it takes half their memory."""
    if len(csm) > 1:
        return None
    of_all = MapsAhead.of(all_maps)
    return of_all if csm is all_maps else of_all.where(csm), of_all


def _with_sets(csm: Tensor, n_sets: int) -> Tensor:
    """Maps `(z, set, coil, y, x)` with empty sets behind, up to `n_sets`."""
    if csm.shape[1] == n_sets:
        return csm
    return torch.cat((csm, csm.new_zeros(len(csm), n_sets - csm.shape[1], *csm.shape[2:])), 1)


def _stacked(maps: Sequence[Tensor]) -> Tensor:
    """Maps of slices `(slice, z, set, coil, y, x)`, with an empty second set where only others need two."""
    if len(maps) == 1:
        return maps[0].unsqueeze(0)  # without a copy
    n_sets = max(csm.shape[1] for csm in maps)
    return torch.stack([_with_sets(csm, n_sets) for csm in maps])
