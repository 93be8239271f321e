"""What is computed once per slice from its calibration lines, and used by every buffer that carries the same lines."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import torch
from torch import Tensor

from gadgets.encoding import Encoding
from gadgets.image_matrix import image_matrix
from gadgets.items import Calibration, ReconBuffer
from kband_core.device import in_same_memory
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
        self._known: dict[tuple[int, int], tuple[Tensor, Result | Exception]] = {}

    def prepare(self, item: Calibration) -> list[Result]:
        """Compute ahead of the image; nothing is returned if that fails.

        A failure is logged and kept: the image meets it again at once, and says so.
        """
        key = item.encoding.index, item.slice
        self._add([key], item.acs.unsqueeze(0), item.encoding, item.matrix)
        if isinstance(result := self._known[key][1], Exception):
            log.warning("%s, slice %d: %s", self._who, item.slice, result)
            return []
        return [result]

    def of(self, buffer: ReconBuffer) -> list[Result]:
        """Return the results of the buffer's slices. Raises what failed, and `ValueError` without calibration lines."""
        if buffer.acs is None:
            raise ValueError("no calibration lines arrived for this slice")
        keys = [(buffer.encoding.index, number) for number in buffer.slice_counters()]
        if not all(self._is_known(key, acs) for key, acs in zip(keys, buffer.acs, strict=True)):
            self._add(keys, buffer.acs, buffer.encoding, image_matrix(buffer))
        results = [self._known[key][1] for key in keys]
        for result in results:
            if isinstance(result, Exception):
                raise result
        return results

    def _add(self, keys: list[tuple[int, int]], acs: Tensor, encoding: Encoding, matrix: tuple[int, int]) -> None:
        try:
            with single_thread():
                results: Sequence[Result | Exception] = self._compute(acs, encoding, matrix)
        except (ValueError, RuntimeError) as error:
            results = [error] * len(keys)
        self._known.update(zip(keys, zip(acs, results, strict=True), strict=True))

    def _is_known(self, key: tuple[int, int], acs: Tensor) -> bool:
        known = self._known.get(key)
        if known is None or known[0].shape != acs.shape:
            return False
        return in_same_memory(known[0], acs) or torch.equal(known[0], acs)
