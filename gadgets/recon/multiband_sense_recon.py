"""CG-SENSE of slices that were excited at once, in the chain."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

from gadgets.errors import PipelineError
from gadgets.gadget import Gadget
from gadgets.items import Calibration, ImageArray, ReconBuffer
from gadgets.recon.combination import never
from gadgets.recon.multiband_sense import Folded, MultibandSense
from gadgets.recon.partial_fourier import PartialFourier
from gadgets.recon.reconstructor import Deadline, OnFailure, Reconstructor
from gadgets.recon.sense import Iterations, Regularisation
from gadgets.scan import Scan


@dataclass
class MultibandSenseRecon(Gadget):
    """Reconstruct each buffer of `MultibandBuffer` by CG-SENSE: an image for every slice, at its own position.

    Any pattern of lines, one or two sets of maps. Where it fails, images show the slices folded, marked.
    """

    accepts: ClassVar[tuple[type, ...]] = (Calibration, ReconBuffer)
    emits: ClassVar[tuple[type, ...]] = (ImageArray,)

    regularisation: Regularisation = MultibandSense.regularisation
    n_iterations: Iterations = MultibandSense.n_iterations
    partial_fourier: PartialFourier = "auto"
    on_failure: OnFailure = "fallback"
    deadline: Deadline = 60.0

    def open(self, scan: Scan) -> None:
        """Refuse scans of single slices."""
        if all(encoding.multiband == 1 for encoding in scan.encodings):
            raise PipelineError(f"{self.label()}: slices are excited one at a time; SenseRecon is for these")

    def process(self, items: Iterable[Calibration | ReconBuffer]) -> Iterator[ImageArray]:
        """Emit one image array for each buffer."""
        return Reconstructor(
            "MultibandSenseRecon", [MultibandSense(self.regularisation, self.n_iterations)], never, self.on_failure,
            self.deadline, self.limit, partial_fourier=self.partial_fourier, last_resort=Folded(),
        ).process(items)  # fmt: skip
