"""Trained networks in the chain: k-band models, and whatever else has a card in the model registry."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

from gadgets.errors import PipelineError
from gadgets.gadget import Gadget, field
from gadgets.images.quantitative import EXPECTED_ERROR
from gadgets.items import Calibration, ImageArray, ReconBuffer
from gadgets.recon import grappa, sense
from gadgets.recon.adapted import AdaptedNetwork, AdaptSeconds, require_time_to_adapt
from gadgets.recon.bounded import Bounded, Uncertainty, look_up_head
from gadgets.recon.combination import has_all_lines
from gadgets.recon.completed import CompletedByGrappa
from gadgets.recon.denoising import Denoising, require_denoising
from gadgets.recon.grappa import Grappa
from gadgets.recon.network import Network, OutsideCard, SelfEnsemble, look_up_model
from gadgets.recon.partial_fourier import PartialFourier
from gadgets.recon.reconstructor import Deadline, OnFailure, Reconstructor
from gadgets.recon.sense import Sense
from gadgets.scan import Scan


@dataclass
class KBandRecon(Gadget):
    """Reconstruct each buffer by a trained network, with the maps the buffer carries; any line pattern.

    What lies outside the model's card, that is, unlike all it has seen in training, is reconstructed by SENSE, and
    marked; so is an image at which the network fails. Where no line was left out, only the coils are combined. The
    model is loaded before the first line and tried out at the `Calibration` item. Where a GPU's memory does not
    suffice, partitions are reconstructed one by one, then on the CPU. With `adapt_seconds` a copy of it learns from the
    lines of each image first; the meta `kband_adapted` tells whether lines held out gained by that. With `denoising`
    below 1 it is told of a part of the noise only, keeps more of faint detail and of noise, and the comment says so.
    With `self_ensemble` it makes images of up to 4 guises of the scan, whose mean is shown; the meta says of how many.

    Where the image misses acquired lines by more than noise, and GRAPPA misses less, coils whose lines it has filled
    take its place; where that is most of it, the next method makes the image, and it is marked.
    """

    accepts: ClassVar[tuple[type, ...]] = (Calibration, ReconBuffer)
    emits: ClassVar[tuple[type, ...]] = (ImageArray,)

    model: Annotated[str, field(description="name of a trained model; kband doctor lists them")] = "simulated_small"
    outside_card: OutsideCard = Network.outside_card
    sense_regularisation: sense.Regularisation = Sense.regularisation
    sense_n_iterations: sense.Iterations = Sense.n_iterations
    grappa_kernel_lines: grappa.KernelLines = Grappa.kernel_lines
    grappa_kernel_samples: grappa.KernelSamples = Grappa.kernel_samples
    grappa_regularisation: grappa.Regularisation = Grappa.regularisation
    partial_fourier: PartialFourier = "auto"
    denoising: Denoising = Network.denoising
    self_ensemble: SelfEnsemble = Network.self_ensemble
    uncertainty: Uncertainty = False
    adapt_seconds: AdaptSeconds = 0.0
    on_failure: OnFailure = "fallback"
    deadline: Deadline = 60.0

    def look_up(self) -> None:
        """Load the model and check it against its card."""
        self._card = look_up_model("KBandRecon", self.model)
        if self.uncertainty:
            look_up_head("KBandRecon", self._card)
            if self.self_ensemble > 1:
                raise PipelineError("KBandRecon.self_ensemble: uncertainty holds for one guise; leave one out")
        if self.denoising < 1:
            require_denoising("KBandRecon", self._card, is_bounded=self.uncertainty, adapts=self.adapt_seconds > 0)
        if self.adapt_seconds:
            require_time_to_adapt(
                "KBandRecon", self._card, self.adapt_seconds, self.deadline, is_bounded=self.uncertainty
            )

    def open(self, scan: Scan) -> None:
        """Refuse a missing or damaged model, and, if told to, a matrix that it has not seen."""
        self.look_up()
        for encoding in scan.encodings if self.outside_card == "refuse" else ():
            if problems := self._card.mismatch(matrix=(encoding.encoded_matrix[1], encoding.readout_samples)):
                raise PipelineError(f"KBandRecon: encoding {encoding.index}: {problems[0]}")

    def process(self, items: Iterable[Calibration | ReconBuffer]) -> Iterator[ImageArray]:
        """Emit one image array for each buffer; the meta of what the network made names the model and its hash."""
        peer = Grappa(self.grappa_kernel_lines, self.grappa_kernel_samples, self.grappa_regularisation)
        network = Network(self._card, self.outside_card, self.denoising, self.self_ensemble)
        maker = AdaptedNetwork(network, self.adapt_seconds) if self.adapt_seconds else network
        first = CompletedByGrappa(maker, peer, gives_way_to_better=True)
        methods = [
            Bounded(first, network) if self.uncertainty else first,
            CompletedByGrappa(Sense(self.sense_regularisation, self.sense_n_iterations), peer),
            peer,
        ]
        return Reconstructor(
            "KBandRecon", methods, has_all_lines, self.on_failure, self.deadline, self.limit,
            quantities=[EXPECTED_ERROR] if self.uncertainty else [], partial_fourier=self.partial_fourier,
        ).process(items)
