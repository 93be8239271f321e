"""One phase for the coil maps of all echoes: else the phase between two of them would be that of their maps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from gadgets.gadget import Gadget
from gadgets.items import Calibration, ReconBuffer
from kband_core.device import send

SAME = ("slice", "phase", "set", "repetition")


@dataclass
class SharedPhase(Gadget):
    """Turn the maps of each contrast to the phase of those of the first one that came, slice by slice.

    Maps are known up to a phase. Each contrast with calibration lines of its own, compressed by themselves, has
    another, which its image takes over. It stands behind `CoilSensitivities`. Buffers without maps pass.
    """

    accepts: ClassVar[tuple[type, ...]] = (Calibration, ReconBuffer)
    emits: ClassVar[tuple[type, ...]] = (Calibration, ReconBuffer)

    def process(self, items: Iterable[Calibration | ReconBuffer]) -> Iterator[Calibration | ReconBuffer]:
        """Hold the maps of a slice's first contrast until all of them have come."""
        first: dict[tuple[int, ...], Tensor] = {}
        n_came: Counter[tuple[int, ...]] = Counter()
        for item in items:
            if isinstance(item, Calibration) or item.csm is None or item.headers.size > 1:
                yield item
                continue
            header = item.headers[0, 0, 0]
            key = header.encoding_space_ref, *(getattr(header.idx, name) for name in SAME)
            limit = item.encoding.counters["contrast"]
            seen = _as_they_came(item)
            item = _turned(item, seen, first.setdefault(key, seen))
            n_came[key] += 1
            if limit is not None and n_came[key] >= len(limit):
                del first[key], n_came[key]
            yield item


def _as_they_came(buffer: ReconBuffer) -> Tensor:
    """All maps, of the coils before they were whitened and combined."""
    maps = buffer.csm if buffer.all_maps is None else buffer.all_maps
    if buffer.unmixing is None:
        return maps
    return torch.einsum("lcv,lzsvyx->lzscyx", send(buffer.unmixing, maps.device), maps)


def _turned(buffer: ReconBuffer, maps: Tensor, target: Tensor) -> ReconBuffer:
    if maps is target or maps.shape[3:] != target.shape[3:]:
        return buffer
    n_sets = min(maps.shape[2], target.shape[2])
    angle = torch.zeros(maps.shape[:3] + maps.shape[4:], device=maps.device)
    angle[:, :, :n_sets] = (target[:, :, :n_sets].conj() * maps[:, :, :n_sets]).sum(3).angle()
    turn = torch.polar(torch.ones_like(angle), -angle).unsqueeze(3)
    all_maps = None if buffer.all_maps is None else buffer.all_maps * turn
    return replace(buffer, csm=buffer.csm * turn, all_maps=all_maps, ahead=None)  # which was told of maps of before
