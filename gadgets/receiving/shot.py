"""One shot: what was measured along it, and where."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from gadgets.mrd import ismrmrd


@dataclass(frozen=True)
class Shot:
    """What was measured `(coil, sample)` complex64, where `(sample, 2)`, and its density, if the scanner told it."""

    data: Tensor
    coords: Tensor
    density: Tensor | None
    header: ismrmrd.AcquisitionHeader
