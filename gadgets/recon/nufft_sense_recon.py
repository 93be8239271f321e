"""CG-SENSE along trajectories in the chain."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

from gadgets.gadget import Gadget
from gadgets.items import Calibration, ImageArray, ReconBuffer
from gadgets.recon.combination import never
from gadgets.recon.nufft_sense import Gridding, Iterations, NufftSense, Regularisation, Weighting
from gadgets.recon.reconstructor import Deadline, OnFailure, Reconstructor


@dataclass
class NufftSenseRecon(Gadget):
    """Reconstruct each buffer of `TrajectoryBuffer` by CG-SENSE with the maps it carries; gridding where that fails."""

    accepts: ClassVar[tuple[type, ...]] = (Calibration, ReconBuffer)
    emits: ClassVar[tuple[type, ...]] = (ImageArray,)

    regularisation: Regularisation = NufftSense.regularisation
    n_iterations: Iterations = NufftSense.n_iterations
    weighting: Weighting = NufftSense.weighting
    on_failure: OnFailure = "fallback"
    deadline: Deadline = 60.0

    def process(self, items: Iterable[Calibration | ReconBuffer]) -> Iterator[ImageArray]:
        """Emit one image array for each buffer."""
        return Reconstructor(
            "NufftSenseRecon", [NufftSense(self.regularisation, self.n_iterations, self.weighting)], never,
            self.on_failure, self.deadline, self.limit, last_resort=Gridding(),
        ).process(items)  # fmt: skip
