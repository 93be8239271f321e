"""What is computed once per slice from its calibration lines, and used by every buffer that carries the same lines."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import torch
from torch import Tensor

from gadgets.items import Calibration, ReconBuffer
from gadgets.scan import Encoding
from kband_core.threads import single_thread

log = logging.getLogger(__name__)

Result = TypeVar("Result")


class PerSlice(Generic[Result]):
    """Maps, kernels or networks by slice.

    `compute` takes ACS `(slice, z, coil, ky, kx)`, the encoding and the image's (ky, kx), and returns one result for
    each slice: a list, or a tensor with a leading slice axis.
    """

    def __init__(self, who: str, compute: Callable[[Tensor, Encoding, tuple[int, int]], Sequence[Result]]) -> None:
        self._who, self._compute = who, compute
        self._ready: dict[tuple[int, int], tuple[Tensor, Result]] = {}

    def prepare(self, item: Calibration) -> None:
        """Compute ahead of the image. A failure is only logged: the image will meet it again, and say so."""
        try:
            with single_thread():
                result = self._compute(item.acs.unsqueeze(0), item.encoding, item.matrix)
        except (ValueError, RuntimeError) as error:
            log.warning("%s, slice %d: %s", self._who, item.slice, error)
            return
        self._ready[item.encoding.index, item.slice] = item.acs, result[0]

    def of(self, buffer: ReconBuffer) -> list[Result]:
        """Return the results of the buffer's slices. Raises `ValueError` without calibration lines."""
        if buffer.acs is None:
            raise ValueError("no calibration lines arrived for this slice")
        keys = [(buffer.encoding.index, number) for number in buffer.slice_counters()]
        if not all(self._is_ready(key, acs) for key, acs in zip(keys, buffer.acs, strict=True)):
            with single_thread():
                results = self._compute(buffer.acs, buffer.encoding, tuple(buffer.kspace.shape[-2:]))
            self._ready.update(zip(keys, zip(buffer.acs, results, strict=True), strict=True))
        return [self._ready[key][1] for key in keys]

    def _is_ready(self, key: tuple[int, int], acs: Tensor) -> bool:
        known = self._ready.get(key)
        return known is not None and known[0].shape == acs.shape and torch.equal(known[0], acs)
