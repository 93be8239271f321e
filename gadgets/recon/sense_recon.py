"""CG-SENSE in the chain."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

from gadgets.gadget import Gadget
from gadgets.items import Calibration, ImageArray, ReconBuffer
from gadgets.recon.combination import has_all_samples
from gadgets.recon.completed import CompletedByGrappa
from gadgets.recon.grappa import Grappa
from gadgets.recon.partial_fourier import PartialFourier
from gadgets.recon.reconstructor import Deadline, OnFailure, Reconstructor
from gadgets.recon.sense import Iterations, Regularisation, Sense


@dataclass
class SenseRecon(Gadget):
    """Reconstruct each buffer by CG-SENSE with the maps it carries, any line pattern, one or two sets of maps.

    Where no sample was left out, only the coils are combined, and the image says so. Where the image misses acquired
    lines by more than noise, coils whose lines GRAPPA has filled take its place; where most of it would be theirs, the
    image is one of GRAPPA, marked.
    """

    accepts: ClassVar[tuple[type, ...]] = (Calibration, ReconBuffer)
    emits: ClassVar[tuple[type, ...]] = (ImageArray,)

    regularisation: Regularisation = Sense.regularisation
    n_iterations: Iterations = Sense.n_iterations
    partial_fourier: PartialFourier = "auto"
    on_failure: OnFailure = "fallback"
    deadline: Deadline = 60.0

    def process(self, items: Iterable[Calibration | ReconBuffer]) -> Iterator[ImageArray]:
        """Emit one image array for each buffer."""
        grappa = Grappa()
        methods = [CompletedByGrappa(Sense(self.regularisation, self.n_iterations), grappa), grappa]
        return Reconstructor(
            "SenseRecon", methods, has_all_samples, self.on_failure, self.deadline, self.limit,
            partial_fourier=self.partial_fourier,
        ).process(items)
