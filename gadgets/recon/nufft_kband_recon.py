"""Trained networks along trajectories in the chain."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

from gadgets.gadget import Gadget, field
from gadgets.images.quantitative import EXPECTED_ERROR
from gadgets.items import Calibration, ImageArray, ReconBuffer
from gadgets.recon import nufft_sense
from gadgets.recon.bounded import Bounded, Uncertainty, look_up_head
from gadgets.recon.combination import never
from gadgets.recon.denoising import Denoising, require_denoising
from gadgets.recon.network import OutsideCard, look_up_model
from gadgets.recon.nufft_sense import Gridding, NufftSense
from gadgets.recon.reconstructor import Deadline, OnFailure, Reconstructor
from gadgets.recon.shots_network import ShotsNetwork
from gadgets.scan import Scan


@dataclass
class NufftKBandRecon(Gadget):
    """Reconstruct each buffer of `TrajectoryBuffer` by a trained network, with the maps the buffer carries.

    What lies outside the model's card is reconstructed by CG-SENSE along the trajectory, and marked; so is an image at
    which the network fails; gridding where that fails too. The model is loaded before the first line. With `denoising`
    below 1 it is told of a part of the noise only, keeps more of faint detail and of noise, and the comment says so.
    """

    accepts: ClassVar[tuple[type, ...]] = (Calibration, ReconBuffer)
    emits: ClassVar[tuple[type, ...]] = (ImageArray,)

    model: Annotated[str, field(description="name of a trained model; kband doctor lists them")] = "simulated_radial"
    outside_card: OutsideCard = ShotsNetwork.outside_card
    sense_regularisation: nufft_sense.Regularisation = NufftSense.regularisation
    sense_n_iterations: nufft_sense.Iterations = NufftSense.n_iterations
    denoising: Denoising = ShotsNetwork.denoising
    uncertainty: Uncertainty = False
    on_failure: OnFailure = "fallback"
    deadline: Deadline = 60.0

    def look_up(self) -> None:
        """Load the model and check it against its card."""
        self._card = look_up_model("NufftKBandRecon", self.model)
        if self.denoising < 1:
            require_denoising("NufftKBandRecon", self._card, is_bounded=self.uncertainty)
        if self.uncertainty:
            look_up_head("NufftKBandRecon", self._card)

    def open(self, scan: Scan) -> None:
        """Refuse a missing or damaged model."""
        self.look_up()

    def process(self, items: Iterable[Calibration | ReconBuffer]) -> Iterator[ImageArray]:
        """Emit one image array for each buffer; the meta of what the network made names the model and its hash."""
        network = ShotsNetwork(self._card, self.outside_card, self.denoising)
        methods = [
            Bounded(network, network) if self.uncertainty else network,
            NufftSense(self.sense_regularisation, self.sense_n_iterations),
        ]
        return Reconstructor(
            "NufftKBandRecon", methods, never, self.on_failure, self.deadline, self.limit,
            quantities=[EXPECTED_ERROR] if self.uncertainty else [], last_resort=Gridding(),
        ).process(items)
