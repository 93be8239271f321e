"""From the CPU, where lines come in, to the device that computes; and what a tensor there was before it left."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from gadgets.items import Aside, Calibration, ReconBuffer
from kband_core.device import in_same_memory

_CAME_AS = WeakTensorKeyDictionary()  # what has arrived on a GPU, as long as it lives: the tensor that was sent


def as_it_came(tensor: Tensor) -> Tensor:
    """Return a tensor on the CPU: without waiting for a GPU if that very one was sent there by a `Departure`."""
    return _CAME_AS.get(tensor, tensor).cpu()


class Departure:
    """Sends items to a device. Calibration lines that went ahead are not sent again with each of their images, which
    hold them in the same memory: so gadgets behind know them, and what they have made of them, without a look.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._ahead: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}  # by encoding and slice: here and there

    def send(self, item: Calibration | ReconBuffer | Aside) -> Calibration | ReconBuffer | Aside:
        """Return the item there."""
        if isinstance(item, Aside):
            return item
        if isinstance(item, Calibration):
            there = item.to(self._device)
            self._ahead[item.encoding.index, item.slice] = item.acs, there.acs
            _remember(there.acs, item.acs)
            return there
        ahead = self._gone_ahead(item)
        there = item.to(self._device) if ahead is None else replace(replace(item, acs=None).to(self._device), acs=ahead)
        _remember(there.kspace, item.kspace)
        if item.acs is not None:
            _remember(there.acs, item.acs)
        return there

    def _gone_ahead(self, buffer: ReconBuffer) -> Tensor | None:
        """The calibration lines of a buffer of one slice, if they are there already."""
        if buffer.acs is None or len(buffer.acs) > 1:
            return None
        known = self._ahead.get((buffer.encoding.index, *buffer.slice_counters()))
        return known[1][None] if known and in_same_memory(known[0], buffer.acs[0]) else None


def _remember(there: Tensor, here: Tensor) -> None:
    if there.device != here.device:
        _CAME_AS[there] = here
