"""GRAPPA in the chain."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

from gadgets.gadget import Gadget
from gadgets.items import Calibration, ImageArray, ReconBuffer
from gadgets.recon.combination import is_unaccelerated
from gadgets.recon.completed import CompletedByGrappa
from gadgets.recon.grappa import Grappa, KernelLines, KernelSamples, Regularisation
from gadgets.recon.partial_fourier import PartialFourier
from gadgets.recon.reconstructor import Deadline, OnFailure, Reconstructor
from gadgets.recon.sense import Sense


@dataclass
class GrappaRecon(Gadget):
    """Fill the missing lines by GRAPPA and combine the coils, by maps where `CoilSensitivities` stands before it.

    The kernel is calibrated at the `Calibration` item. It needs lines on an R-fold grid: others are reconstructed by
    SENSE, and marked. At R=1 only the coils are combined, and the image says so.
    """

    accepts: ClassVar[tuple[type, ...]] = (Calibration, ReconBuffer)
    emits: ClassVar[tuple[type, ...]] = (ImageArray,)

    kernel_lines: KernelLines = Grappa.kernel_lines
    kernel_samples: KernelSamples = Grappa.kernel_samples
    regularisation: Regularisation = Grappa.regularisation
    partial_fourier: PartialFourier = "auto"
    on_failure: OnFailure = "fallback"
    deadline: Deadline = 60.0

    def process(self, items: Iterable[Calibration | ReconBuffer]) -> Iterator[ImageArray]:
        """Emit one image array for each buffer."""
        grappa = Grappa(self.kernel_lines, self.kernel_samples, self.regularisation)
        methods = [grappa, CompletedByGrappa(Sense(), grappa)]
        return Reconstructor(
            "GrappaRecon", methods, is_unaccelerated, self.on_failure, self.deadline, self.limit,
            partial_fourier=self.partial_fourier,
        ).process(items)
