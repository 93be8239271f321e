"""Fewer, virtual coils: less work for everything that follows."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

from torch import Tensor

from gadgets.coils.recombined import recombined, recombined_calibration
from gadgets.gadget import Gadget, field
from gadgets.items import Calibration, ReconBuffer
from kband_core.coils import compression_matrix
from kband_core.threads import single_thread

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
        for item in items:
            if item.acs is None or item.acs.shape[-3] <= self.n_coils:
                yield item
                continue
            matrix = self._matrix(item.acs)
            if isinstance(item, Calibration):
                yield recombined_calibration(item, matrix.squeeze(-3))
                continue
            one = matrix.squeeze(-3)
            yield recombined(item, one, one.mH)

    def _matrix(self, acs: Tensor) -> Tensor:
        """One matrix for all z of a slice, `(..., 1, virtual, coil)`: kz was, and z is, the same coils."""
        together = acs.movedim(-3, -4).flatten(-3, -2)  # (..., coil, z·ky, kx)
        with single_thread():
            return compression_matrix(together, self.n_coils).unsqueeze(-3)
