"""GRAPPA with kernels calibrated while the scan still runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

from torch import Tensor

from gadgets.coils.per_slice import PerSlice
from gadgets.gadget import Gadget, field
from gadgets.items import Calibration, ImageArray, ReconBuffer, acquired_lines
from gadgets.recon.completed import combined
from gadgets.recon.reconstruction import COMBINED, Deadline, OnFailure, Reconstruction, combine_coils
from gadgets.scan import Encoding
from kband_core.grappa import GrappaKernel, apply_grappa, calibrate_grappa


@dataclass
class GrappaRecon(Gadget):
    """Fill the missing lines by GRAPPA and combine the coils, by maps where `CoilSensitivities` stands before it.

    The kernel is calibrated at the `Calibration` item. Needs lines on an R-fold grid; at R=1 only the coils are
    combined, and the image says so.
    """

    accepts: ClassVar[tuple[type, ...]] = (Calibration, ReconBuffer)
    emits: ClassVar[tuple[type, ...]] = (ImageArray,)

    kernel_lines: Annotated[int, field(ge=2, le=8, description="acquired lines the kernel spans along ky")] = 2
    kernel_samples: Annotated[int, field(ge=1, le=15, description="samples the kernel spans along kx")] = 5
    regularisation: Annotated[float, field(ge=0, le=1, description="Tikhonov weight, relative to mean energy")] = 1e-4
    on_failure: OnFailure = "fallback"
    deadline: Deadline = 60.0

    def process(self, items: Iterable[Calibration | ReconBuffer]) -> Iterator[ImageArray]:
        """Emit one image array for each buffer."""
        reconstruction = Reconstruction("GrappaRecon", self.on_failure, self.deadline)
        kernels = PerSlice("GrappaRecon", self.fit)
        for item in items:
            is_accelerated = item.encoding.acceleration[0] > 1
            if isinstance(item, ReconBuffer):
                method = {"GRAPPA": lambda buffer: self.reconstruct(buffer, kernels)}
                yield reconstruction.images(item, method if is_accelerated else {COMBINED: combine_coils})
            elif is_accelerated:
                kernels.prepare(item)

    def fit(self, acs: Tensor, encoding: Encoding, matrix: tuple[int, int]) -> list[GrappaKernel]:
        """Fit the weights; fewer source lines where the calibration lines do not span the kernel."""
        acceleration = encoding.acceleration[0]
        n_lines = max(min(self.kernel_lines, (acs.shape[-2] - 1) // acceleration + 1), 2)
        kernel = (n_lines, self.kernel_samples)
        apart = encoding.calibration_mode in ("separate", "external")
        windows = "equal" if apart else "balanced"
        fitted = calibrate_grappa(acs, acceleration, kernel=kernel, regularisation=self.regularisation, windows=windows)
        return [GrappaKernel(weights) for weights in fitted.weights]

    def reconstruct(self, buffer: ReconBuffer, kernels: PerSlice[GrappaKernel]) -> Tensor:
        """Fill the missing lines with the kernel of the buffer's slice and combine: `(z, y, x)`."""
        kernel = kernels.of(buffer)[0]
        return combined(buffer, lambda kspace, mask: apply_grappa(kernel, kspace, acquired_lines(mask)))
