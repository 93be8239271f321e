"""A transformer over spokes in the chain."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

from gadgets.errors import PipelineError
from gadgets.gadget import Gadget, field
from gadgets.items import Calibration, ImageArray, ReconBuffer
from gadgets.recon import nufft_sense
from gadgets.recon.combination import never
from gadgets.recon.network import OutsideCard
from gadgets.recon.nufft_sense import Gridding, NufftSense
from gadgets.recon.pkt import Pkt, look_up_pkt
from gadgets.recon.reconstructor import Deadline, OnFailure, Reconstructor
from gadgets.scan import Scan


@dataclass
class PktRecon(Gadget):
    """Reconstruct each buffer of `TrajectoryBuffer` by CG-SENSE of its spokes and of those that a network predicts.

    What lies outside the model's card, and what CG-SENSE alone makes better by the measure of spokes that are held out,
    is reconstructed by CG-SENSE, and marked with the reason; by gridding where that fails too.
    """

    accepts: ClassVar[tuple[type, ...]] = (Calibration, ReconBuffer)
    emits: ClassVar[tuple[type, ...]] = (ImageArray,)

    model: Annotated[str, field(description="name of a trained model with the network pkt")] = "simulated_pkt"
    outside_card: OutsideCard = Pkt.outside_card
    sense_regularisation: nufft_sense.Regularisation = NufftSense.regularisation
    sense_n_iterations: nufft_sense.Iterations = NufftSense.n_iterations
    on_failure: OnFailure = "fallback"
    deadline: Deadline = 60.0

    def look_up(self) -> None:
        """Load the model and check it against its card."""
        self._card = look_up_pkt("PktRecon", self.model)

    def open(self, scan: Scan) -> None:
        """Refuse a missing, damaged or other model, and spirals, which have no projections."""
        self.look_up()
        for encoding in scan.encodings:
            if encoding.trajectory == "spiral":
                raise PipelineError(
                    f"PktRecon: encoding {encoding.index} has the trajectory spiral; spokes through the centre expected"
                )

    def process(self, items: Iterable[Calibration | ReconBuffer]) -> Iterator[ImageArray]:
        """Emit one image array for each buffer; the meta says what either leaves unexplained of held-out spokes."""
        peer = NufftSense(self.sense_regularisation, self.sense_n_iterations)
        return Reconstructor(
            "PktRecon", [Pkt(self._card, self.outside_card, peer=peer), peer], never, self.on_failure, self.deadline,
            self.limit, last_resort=Gridding(),
        ).process(items)  # fmt: skip
