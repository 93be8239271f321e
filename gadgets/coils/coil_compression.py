"""Fewer, virtual coils: less work for everything that follows."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

from torch import Tensor

from gadgets.coils.per_slice import PerSlice
from gadgets.coils.recombined import Recombination, recombined, recombined_calibration
from gadgets.encoding import Encoding
from gadgets.gadget import Gadget, field
from gadgets.items import Calibration, ReconBuffer
from kband_core.coils import compression_matrix

log = logging.getLogger(__name__)


@dataclass
class CoilCompression(Gadget):
    """Combine the coils to `n_coils` virtual ones that hold most of the calibration signal, slice by slice.

    Scans with no more coils than that, or without calibration lines, pass as they are.
    """

    accepts: ClassVar[tuple[type, ...]] = (Calibration, ReconBuffer)
    emits: ClassVar[tuple[type, ...]] = (Calibration, ReconBuffer)

    n_coils: Annotated[int, field(ge=1, le=1024, description="virtual coils to keep")] = 12

    def process(self, items: Iterable[Calibration | ReconBuffer]) -> Iterator[Calibration | ReconBuffer]:
        """Compress each item with the matrix of its own calibration lines."""
        compressions = PerSlice("CoilCompression", self._of_slices)
        for item in items:
            if item.acs is None or item.acs.shape[-3] <= self.n_coils:
                yield item
            elif isinstance(item, Calibration):
                found = compressions.prepare(item)
                yield recombined_calibration(item, found[0]) if found else item
            else:
                yield recombined(item, compressions.of(item))

    def _of_slices(self, acs: Tensor, encoding: Encoding, matrix: tuple[int, int]) -> list[Recombination]:
        """One matrix for all z of a slice, of ACS `(slice, z, coil, ky, kx)`: kz was, and z is, the same coils."""
        together = acs.movedim(2, 1).flatten(2, 3)  # (slice, coil, z·ky, kx)
        matrices = compression_matrix(together, self.n_coils)
        return [Recombination.of(lines, one, one.mH) for lines, one in zip(acs, matrices, strict=True)]
