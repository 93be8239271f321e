"""Maps of quantities behind the images: computed when images have left, so that none waits for a map."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gadgets.errors import ScanError
from gadgets.images.quantitative import EXPECTED_ERROR, GFACTOR, SNR, Quantity, quantity_array
from gadgets.items import ImageArray, ReconBuffer
from gadgets.recon.recon_space import ReconSpace
from gadgets.recon.reconstruction import Map
from kband_core.plural import counted

log = logging.getLogger(__name__)

MOST_WAITING = 64  # buffers kept for their maps: 0.4 GB at 256² and 12 coils


class MapSeries:
    """The maps that the gadget `who` sends of the quantities `wanted`."""

    def __init__(self, who: str, wanted: Sequence[Quantity]) -> None:
        self._who, self._wanted = who, wanted
        self._waiting: list[_Waiting] = []
        self._failures: list[str] = []

    def add(self, images: ImageArray, maps: Sequence[Mapping[str, Map]], buffer: ReconBuffer) -> Iterator[ImageArray]:
        """Keep the maps of the images of `buffer`, one mapping for each; yield the maps of all when too many wait."""
        trivial = set()
        if buffer.encoding.total_acceleration == 1:
            trivial.add(GFACTOR)  # it is 1
        if all(meta.get("kband_acceleration") == "1.00" for meta in images.meta.flat):
            trivial.add(EXPECTED_ERROR)  # it is 0
        wanted = [quantity for quantity in self._wanted if quantity not in trivial]
        if wanted:
            self._waiting.append(_Waiting(images, maps, wanted, ReconSpace.of(buffer)))
        if len(self._waiting) >= MOST_WAITING:
            yield from self._all()

    def rest(self) -> Iterator[ImageArray]:
        """Yield the maps that still wait. Raises `ScanError` if any of the scan could not be made."""
        yield from self._all()
        if self._failures:
            n_failed, first = len(self._failures), self._failures[0]
            what = f"{self._wanted[0].name} map"
            raise ScanError(f"{self._who}: {counted(n_failed, what)} could not be made: {first}")

    def _all(self) -> Iterator[ImageArray]:
        while self._waiting:
            try:
                yield from self._waiting.pop(0).series()
            except (ValueError, RuntimeError) as error:
                log.warning("%s: no %s map: %s", self._who, self._wanted[0].name, error)
                self._failures.append(str(error))


@dataclass(frozen=True)
class _Waiting:
    """Images that have left, and their maps to be computed: `maps` has one mapping for each image."""

    images: ImageArray
    maps: Sequence[Mapping[str, Map]]
    wanted: Sequence[Quantity]
    space: ReconSpace

    def series(self) -> list[ImageArray]:
        """The maps of whatever made each image, and image over noise, on the recon matrix."""
        made = {quantity: self._computed(quantity) for quantity in {_needed(quantity) for quantity in self.wanted}}
        values = {**made, SNR: self._snr(made[GFACTOR])} if GFACTOR in made else made
        return [quantity_array(self.images, quantity, values[quantity]) for quantity in self.wanted]

    def _computed(self, quantity: Quantity) -> Tensor:
        shown = []
        for maps, meta in zip(self.maps, self.images.meta.flat, strict=True):
            if quantity.name not in maps:
                raise ValueError(f"the image is {meta['kband_method']}")
            values = maps[quantity.name].compute()
            shown.append(self.space.shown(values + 0j).real.cpu())
        return torch.stack(shown).unflatten(0, self.images.headers.shape)

    def _snr(self, gfactor: Tensor) -> Tensor:
        """Pixels over the SD of their noise, which is g·√R where that of the samples is 1."""
        noise = gfactor * self.space.encoding.total_acceleration**0.5
        signal = self.images.data.squeeze(-4).abs()
        return torch.where(noise > 0, signal / noise.clamp(min=1e-9), 0.0)


def _needed(quantity: Quantity) -> Quantity:
    """What an image must have a map of."""
    return GFACTOR if quantity is SNR else quantity
