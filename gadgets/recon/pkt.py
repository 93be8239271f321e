"""Radial scans by spokes that a transformer predicts, where these make the image better."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from torch import Tensor

from gadgets.errors import PipelineError, ScanError
from gadgets.items import ReconBuffer
from gadgets.recon.network import look_up_model
from gadgets.recon.nufft_sense import NufftSense, shot_planes
from gadgets.recon.reconstruction import Reconstruction, maps_of
from gadgets.recon.shots_network import ShotsNetwork
from kband_core.held_out_spokes import unexplained
from kband_core.models import Card, load_model
from kband_core.reconstruct import network_along, sense_sets
from kband_core.sampling import Trajectory


@dataclass(frozen=True)
class Pkt(ShotsNetwork):
    """CG-SENSE of measured spokes and of those that the network of a card predicts.

    Of every eight spokes one is held out first, of a stack those of its middle plane: where `peer` explains them better
    without them, the image is left to it.
    """

    peer: NufftSense = field(default_factory=NufftSense)

    def reconstruct(self, buffer: ReconBuffer) -> Reconstruction:
        self._require_known(buffer)
        ours, theirs = self._unexplained(buffer)
        said = f"{ours:.3f} of held-out spokes unexplained, {self.peer.label} {theirs:.3f}"
        if ours > theirs:
            raise ScanError(f"{self.card.name} leaves {said}")
        made = super().reconstruct(buffer)
        return replace(made, notes={**made.notes, "kband_held_out_spokes": said})

    def _unexplained(self, buffer: ReconBuffer) -> list[float]:
        """What PKT and CG-SENSE leave unexplained of spokes that neither was shown."""
        planes, csm = shot_planes(buffer), maps_of(buffer)
        middle = len(planes) // 2
        return unexplained([self._sets, self._of_peer], planes[middle], buffer.sampling[0, 0, 0], csm[middle])

    def _sets(self, kspace: Tensor, sampling: Trajectory, csm: Tensor) -> Tensor:
        batch = Trajectory(sampling.coords[None], sampling.density[None])
        return network_along(kspace[None], batch, csm[None], load_model(self.card, csm.device))[0]

    def _of_peer(self, kspace: Tensor, sampling: Trajectory, csm: Tensor) -> Tensor:
        weight = self.peer.regularisation * sampling.shape.numel() / csm.shape[-2:].numel()
        return sense_sets(kspace, sampling, csm, regularisation=weight, n_iterations=self.peer.n_iterations)


def look_up_pkt(who: str, name: str) -> Card:
    """Return the card of a model that predicts spokes. Raises `PipelineError` for another one."""
    card = look_up_model(who, name)
    if card.network.name != "pkt":
        raise PipelineError(f"{who}.model: {name} has the network {card.network.name}, pkt expected")
    return card
