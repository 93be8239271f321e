"""A trained network of the model registry, along trajectories."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from gadgets.errors import ScanError
from gadgets.items import ReconBuffer
from gadgets.recon.network import OutsideCard
from gadgets.recon.nufft_sense import shot_planes
from gadgets.recon.reconstruction import Method, Reconstruction, Refusal, maps_of
from kband_core.coils import merge_sets
from kband_core.models import Card, load_model
from kband_core.reconstruct import network_along
from kband_core.shot_angles import nyquist_shots, shot_kind
from kband_core.shots import shots_noise, shots_scale


@dataclass(frozen=True)
class ShotsNetwork(Method):
    """The network of a card, with the maps of the buffer; images unlike all it has seen are not for it."""

    card: Card
    outside_card: OutsideCard = "fallback"

    @property
    def label(self) -> str:
        return self.card.label

    def reconstruct(self, buffer: ReconBuffer) -> Reconstruction:
        csm, sampling, planes = maps_of(buffer), buffer.sampling[0, 0], shot_planes(buffer)
        self._require_known(buffer)
        model = load_model(self.card, csm.device)
        each = zip(planes.split(1), csm.split(1), strict=True)  # of a stack, plane by plane
        sets = torch.cat([network_along(kspace, sampling, maps, model) for kspace, maps in each])
        notes = {"kband_model": self.card.name, "kband_model_sha256": self.card.sha256[:12]}
        return Reconstruction(merge_sets(sets), notes=notes, sets=sets)

    def _require_known(self, buffer: ReconBuffer) -> None:
        """Raise `ScanError` for an image unlike all that the network has seen, or `Refusal`; of a stack, its middle."""
        sampling, middle = buffer.sampling[0, 0, 0], maps_of(buffer).shape[0] // 2
        csm, kspace = (planes[middle : middle + 1] for planes in (maps_of(buffer), shot_planes(buffer)))
        kind, matrix = shot_kind(sampling.coords), tuple(csm.shape[-2:])
        problems = self.card.mismatch(sampling=kind)
        if not problems:
            acceleration = nyquist_shots(sampling.coords, matrix) / sampling.shape[0]
            scale = shots_scale(kspace, sampling.coords, sampling.density, csm)
            snr = scale / shots_noise(kspace, sampling.coords, matrix)
            problems = self.card.mismatch(
                matrix=matrix, acceleration=acceleration, coils=kspace.shape[1], snr=float(snr)
            )
        if problems:
            raise (Refusal if self.outside_card == "refuse" else ScanError)("; ".join(problems))
