"""Maps of water, fat, R2* and the field behind the images of their echoes."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import numpy as np
import torch
from torch import Tensor

from gadgets.errors import PipelineError, ScanError
from gadgets.gadget import Gadget, field
from gadgets.images.echo_meta import together
from gadgets.images.echoes import Echoes
from gadgets.images.learned_maps import LearnedMaps, say_who
from gadgets.images.quantitative import (
    B0,
    FAT,
    PDFF,
    R2STAR,
    SD_B0,
    SD_PDFF,
    SD_R2STAR,
    UNSURE,
    WATER,
    quantity_array,
)
from gadgets.items import Aside, ImageArray
from gadgets.mrd import ismrmrd
from gadgets.scan import Scan
from kband_core.plural import counted
from kband_core.relaxometry.fat_model import MHZ_PER_TESLA, check_echoes
from kband_core.relaxometry.turning import turning
from kband_core.relaxometry.water_fat import WaterFatMaps, water_fat

log = logging.getLogger(__name__)

MOST_WAITING = 64  # slices kept for their maps: 0.3 GB of 8 echoes at 256²
OTHER_WAY = 1.03  # times the misfit of the conjugates, from which on phases seem to run the other way
BRIGHT = 2000.0  # pixel steps of the brightest water or fat, of 2,047
MAPS = {PDFF: "pdff", R2STAR: "r2star", B0: "b0", SD_PDFF: "sd_pdff", SD_R2STAR: "sd_r2star", SD_B0: "sd_b0",
        UNSURE: "unsure"}  # fmt: skip


@dataclass
class WaterFat(Gadget):
    """Map water, fat, their share (PDFF), R2* and the field, each with its SD, behind all images, which wait for none.

    Variable projection of seven fat peaks in a field that is smooth; echo times and field strength are the header's. A
    `model` mends what that gives; echoes unlike those it has seen are left to the fit, marked as a fallback.
    `unsure` is 1 where there is too little signal, where all but water and fat are 0, or where one may be the other.
    """

    accepts: ClassVar[tuple[type, ...]] = (ImageArray, Echoes)
    emits: ClassVar[tuple[type, ...]] = (ImageArray,)

    conjugate: Annotated[bool, field(description="turn the sign of phases, of scanners where fat runs ahead")] = False
    model: Annotated[str, field(description="name of a network that makes the maps; empty: the fit alone")] = ""

    def open(self, scan: Scan) -> None:
        """Read echo times and field strength. Raises `PipelineError` for what cannot tell water from fat."""
        said = scan.header.sequenceParameters
        self._times, self._field = [float(time) for time in (said.TE if said else [])], _field_strength(scan)
        n_contrasts = len(scan.encodings[0].counters["contrast"] or ())
        if len(self._times) != n_contrasts:
            raise PipelineError(f"WaterFat: the header has {counted(len(self._times), 'echo time')} (TE) for "
                                f"{counted(n_contrasts, 'contrast')}, one for each expected")  # fmt: skip
        try:
            check_echoes(self._times, self._field)
        except ValueError as error:
            raise PipelineError(f"WaterFat: {error}") from error
        self._learned = LearnedMaps.named("WaterFat", self.model) if self.model else None

    def process(self, items: Iterable[ImageArray | Echoes]) -> Iterator[ImageArray | Aside]:
        """Pass images on; maps follow when many wait, or at the end. Raises `ScanError` if any could not be made."""
        waiting: list[Echoes] = []
        problems: list[str] = []
        try:
            for item in items:
                if isinstance(item, ImageArray):
                    yield item
                    continue
                waiting.append(item)
                if len(waiting) >= MOST_WAITING:
                    yield from self._all(waiting, problems)
        except ScanError as error:  # of lines that never came: maps of those that did are made all the same
            problems.append(str(error))
        yield from self._all(waiting, problems)
        if problems:
            raise ScanError("; ".join(problems))

    def _all(self, waiting: list[Echoes], problems: list[str]) -> Iterator[ImageArray | Aside]:
        while waiting:
            echoes = waiting.pop(0)
            try:
                yield from self._maps(echoes)
            except (ValueError, RuntimeError) as error:
                problems.append(f"WaterFat: no maps of slice {echoes.headers[0].slice}: {error}")
                log.warning("%s", problems[-1])

    def _maps(self, echoes: Echoes) -> Iterator[ImageArray | Aside]:
        if not all(echo.imag.any() for echo in echoes.data):
            raise ValueError("an echo has no phase: it is a root sum of squares")
        data = echoes.data.conj() if self.conjugate else echoes.data
        planes, fallback = self._mapped(data, echoes.meta)
        image = _image(echoes, self._times, self._field)
        if self._learned is not None:
            say_who(image, self._learned, fallback)
        misfits = max(turning(plane, self._times, self._field) for plane in data.unbind(1))
        if misfits > OTHER_WAY:
            said = f"SWAPPED? phases the other way round explain the echoes {misfits:.2f} times better (conjugate)"
            image.meta[0, 0, 0]["ImageComments"] = f"{said}; {image.meta[0, 0, 0]['ImageComments']}"
            yield Aside("warning", f"WaterFat: slice {echoes.headers[0].slice}: {said}")
        water, fat = (_stacked(planes, name).abs() for name in ("water", "fat"))
        steps = BRIGHT / max(float(torch.maximum(water, fat).quantile(0.9999)), 1e-30)
        yield quantity_array(image, replace(WATER, scale=steps), _placed(water))
        yield quantity_array(image, replace(FAT, scale=steps), _placed(fat))
        told = ~_stacked(planes, "no_signal")
        for quantity, name in MAPS.items():
            values = _stacked(planes, name).float()
            yield quantity_array(image, quantity, _placed(values if quantity is UNSURE else values * told))

    def _mapped(self, data: Tensor, metas: Sequence[ismrmrd.Meta]) -> tuple[list[WaterFatMaps], str | None]:
        """Map planes `(echo, z, y, x)`; say why not as was asked for, if so."""
        reason = None
        if self._learned is not None:
            reason = self._learned.unseen(self._times, self._field, tuple(data.shape[-2:]), metas)
            try:
                if reason is None:
                    return [self._learned.maps(plane, self._times, self._field) for plane in data.unbind(1)], None
            except (ValueError, RuntimeError) as error:
                reason = str(error)
            log.warning("WaterFat: %s; the maps are those of the fit and marked", reason)
        return [water_fat(plane, self._times, self._field) for plane in data.unbind(1)], reason


def _field_strength(scan: Scan) -> float | None:
    """Tesla, by the system or by the frequency of protons."""
    system, conditions = scan.header.acquisitionSystemInformation, scan.header.experimentalConditions
    if system and system.systemFieldStrength_T:
        return float(system.systemFieldStrength_T)
    frequency = conditions.H1resonanceFrequency_Hz if conditions else 0
    return float(frequency) / 1e6 / MHZ_PER_TESLA if frequency else None


def _image(echoes: Echoes, times: list[float], field_t: float) -> ImageArray:
    """The image that maps stand beside: the first echo, or the first one that is a fallback."""
    at, meta = together(echoes.meta)
    moments = ", ".join(f"{time:.4g}" for time in times)
    said = f"{counted(len(times), 'echo', 'echoes')} at {moments} ms, {field_t:.4g} T"
    meta["kband_echoes"] = said
    meta["ImageComments"] = f"water and fat of {said}; {meta['ImageComments']}"
    headers, metas = np.empty((1, 1, 1), object), np.empty((1, 1, 1), object)
    headers[0, 0, 0], metas[0, 0, 0] = echoes.headers[at], meta
    return ImageArray(echoes.data[at][None, None, None, None], headers, metas)


def _stacked(planes: list[WaterFatMaps], name: str) -> Tensor:
    return torch.stack([getattr(plane, name) for plane in planes])


def _placed(values: Tensor) -> Tensor:
    return values[None, None, None]
