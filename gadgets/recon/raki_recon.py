"""RAKI in the chain, with an exact noise map behind its images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

from gadgets.gadget import Gadget, field
from gadgets.images.quantitative import GFACTOR, SNR
from gadgets.items import Calibration, ImageArray, ReconBuffer
from gadgets.recon.combination import is_unaccelerated
from gadgets.recon.completed import CompletedByGrappa
from gadgets.recon.grappa import Grappa, KernelLines, KernelSamples, Regularisation
from gadgets.recon.partial_fourier import PartialFourier
from gadgets.recon.raki import Raki, Schedule, Seed, Slope, TimeBudget
from gadgets.recon.reconstructor import Deadline, OnFailure, Reconstructor
from gadgets.recon.sense import Sense


@dataclass
class RakiRecon(Gadget):
    """Fill the missing lines by RAKI and combine the coils, by maps where `CoilSensitivities` stands before it.

    The fit starts at the `Calibration` item; one that exceeds its time budget goes by the steps done so far, as the
    meta says, or hands over to GRAPPA, and the image is marked. It needs lines on an R-fold grid: others are
    reconstructed by SENSE, and marked. At R=1 only the coils are combined, and there is no g-factor.
    """

    accepts: ClassVar[tuple[type, ...]] = (Calibration, ReconBuffer)
    emits: ClassVar[tuple[type, ...]] = (ImageArray,)

    schedule: Schedule = Raki.schedule
    slope: Slope = Raki.slope
    seed: Seed = Raki.seed
    time_budget: TimeBudget = Raki.time_budget
    gfactor: Annotated[bool, field(description="also send g-factor maps, as a series of their own")] = False
    snr: Annotated[bool, field(description="also send maps of the SNR; needs a noise scan")] = False
    grappa_kernel_lines: KernelLines = Grappa.kernel_lines
    grappa_kernel_samples: KernelSamples = Grappa.kernel_samples
    grappa_regularisation: Regularisation = Grappa.regularisation
    partial_fourier: PartialFourier = "auto"
    on_failure: OnFailure = "fallback"
    deadline: Deadline = 60.0

    def process(self, items: Iterable[Calibration | ReconBuffer]) -> Iterator[ImageArray]:
        """Emit the images of each buffer; their maps follow when many wait, or at the end, so that no image waits for a
        map. Raises `ScanError` at the end if maps could not be made.
        """
        raki = Raki(self.schedule, self.slope, self.seed, self.time_budget)
        grappa = Grappa(self.grappa_kernel_lines, self.grappa_kernel_samples, self.grappa_regularisation)
        methods = [raki, grappa, CompletedByGrappa(Sense(), grappa)]
        quantities = [quantity for quantity, yes in ((GFACTOR, self.gfactor), (SNR, self.snr)) if yes]
        return Reconstructor(
            "RakiRecon", methods, is_unaccelerated, self.on_failure, self.deadline, self.limit, quantities,
            self.partial_fourier,
        ).process(items)
