"""CG-SENSE, and what it falls back to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Annotated, ClassVar

from torch import Tensor

from gadgets.coils.per_slice import PerSlice
from gadgets.gadget import Gadget, field
from gadgets.items import Calibration, ImageArray, ReconBuffer
from gadgets.recon.completed import combined, completed
from gadgets.recon.grappa_recon import GrappaRecon
from gadgets.recon.reconstruction import Deadline, OnFailure, Reconstruction, maps_of
from kband_core.reconstruct import sense_sets


@dataclass
class SenseRecon(Gadget):
    """Reconstruct each buffer by CG-SENSE with the maps it carries, any line pattern, one or two sets of maps."""

    accepts: ClassVar[tuple[type, ...]] = (Calibration, ReconBuffer)
    emits: ClassVar[tuple[type, ...]] = (ImageArray,)

    regularisation: Annotated[float, field(ge=0, le=1, description="Tikhonov weight λ, relative to AᴴA ≤ 1")] = 0.01
    n_iterations: Annotated[int, field(ge=1, le=500, description="conjugate-gradient iterations")] = 20
    on_failure: OnFailure = "fallback"
    deadline: Deadline = 60.0

    def process(self, items: Iterable[Calibration | ReconBuffer]) -> Iterator[ImageArray]:
        """Emit one image array for each buffer."""
        reconstruction = Reconstruction("SenseRecon", self.on_failure, self.deadline)
        kernels = PerSlice("SenseRecon", GrappaRecon().fit)
        for item in items:
            is_accelerated = item.encoding.acceleration[0] > 1
            if isinstance(item, ReconBuffer):
                yield reconstruction.images(item, {"SENSE": partial(self.reconstruct, kernels=kernels)})
            elif is_accelerated:
                kernels.prepare(item)

    def reconstruct(self, buffer: ReconBuffer, kernels: PerSlice) -> Tensor:
        """Solve for the image `(z, y, x)`. Raises `ValueError` for a buffer without maps."""
        maps_of(buffer)
        if buffer.encoding.acceleration[0] == 1 and buffer.mask.all():
            return combined(buffer)
        solve = partial(sense_sets, regularisation=self.regularisation, n_iterations=self.n_iterations)
        return completed(buffer, solve, kernels)
