"""CG-SENSE, and what it falls back to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

from torch import Tensor

from gadgets.gadget import Gadget, field
from gadgets.items import Calibration, ImageArray, ReconBuffer
from gadgets.recon.reconstruction import Deadline, OnFailure, Reconstruction, maps_of
from kband_core.reconstruct import sense


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
        for item in items:
            if isinstance(item, ReconBuffer):
                yield reconstruction.images(item, {"SENSE": self.reconstruct})

    def reconstruct(self, buffer: ReconBuffer) -> Tensor:
        """Solve for the image `(z, y, x)`. Raises `ValueError` for a buffer without maps."""
        csm = maps_of(buffer)
        kspace, sampling = buffer.planes()
        return sense(kspace, sampling, csm, regularisation=self.regularisation, n_iterations=self.n_iterations)
