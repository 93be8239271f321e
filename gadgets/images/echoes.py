"""The echoes of a slice, gathered: what maps of decay, water and fat are made of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from gadgets.errors import PipelineError, ScanError
from gadgets.gadget import Gadget
from gadgets.images.series import FALLBACK
from gadgets.items import ImageArray
from gadgets.mrd import ismrmrd
from gadgets.scan import Scan

SAME = ("slice", "average", "phase", "repetition", "set")


@dataclass(frozen=True)
class Echoes:
    """All contrasts of one slice on the CPU, in their order: complex64 [echo z y x], a header and a meta of each."""

    data: Tensor
    headers: tuple[ismrmrd.ImageHeader, ...]
    meta: tuple[ismrmrd.Meta, ...]


@dataclass
class GatheredEchoes(Gadget):
    """Let images pass, and send the `Echoes` of a slice behind its last one; maps of quantities are no echoes."""

    accepts: ClassVar[tuple[type, ...]] = (ImageArray,)
    emits: ClassVar[tuple[type, ...]] = (ImageArray, Echoes)

    def open(self, scan: Scan) -> None:
        """Count the echoes that the header announces. Raises `PipelineError` if it leaves that open."""
        limits = {encoding.counters["contrast"] for encoding in scan.encodings}
        if None in limits or len({len(limit) for limit in limits}) > 1:
            raise PipelineError("GatheredEchoes: the header sets no one number of contrasts, which are the echoes")
        self._contrasts = range(min(limit.minimum for limit in limits), max(limit.maximum for limit in limits) + 1)

    def process(self, arrays: Iterable[ImageArray]) -> Iterator[ImageArray | Echoes]:
        """Emit what was gathered when it is complete. Raises `ScanError` at the end if an echo is missing."""
        self._waiting: dict[tuple[int, ...], dict[int, tuple]] = {}
        try:
            for array in arrays:
                yield array
                yield from self._gathered(array)
        except ScanError as error:
            raise ScanError("; ".join([str(error), *self._lacks()])) from error
        if lacks := self._lacks():
            raise ScanError(f"GatheredEchoes: {'; '.join(lacks)}")

    def _gathered(self, array: ImageArray) -> Iterator[Echoes]:
        for index in np.ndindex(array.headers.shape):
            header, meta = array.headers[index], array.meta[index]
            if "kband_quantity" in meta:
                continue
            series = header.image_series_index - FALLBACK * (meta["kband_fallback"] != "no")
            key = series, *(getattr(header, name) for name in SAME)
            echoes = self._waiting.setdefault(key, {})
            echoes[header.contrast] = array.data[index][0], header, meta
            if len(echoes) == len(self._contrasts):
                data, headers, metas = zip(*(echoes[contrast] for contrast in sorted(echoes)), strict=True)
                yield Echoes(torch.stack(data), headers, metas)
                del self._waiting[key]

    def _lacks(self) -> list[str]:
        """A sentence on the slices whose echoes did not all come."""
        if not self._waiting:
            return []
        key, echoes = min(self._waiting.items())
        came, first = len(echoes), min(set(self._contrasts) - echoes.keys())
        more = f", and of {len(self._waiting) - 1} more" if len(self._waiting) > 1 else ""
        said = f"slice {key[1]} has {came} of {len(self._contrasts)} echoes, the first missing is contrast {first}"
        return [f"{said}{more}: no maps of it"]
