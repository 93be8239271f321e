"""A trained network of the model registry, along trajectories."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gadgets.errors import ScanError
from gadgets.items import ReconBuffer
from gadgets.recon.network import OutsideCard, model_notes
from gadgets.recon.nufft_sense import shot_planes
from gadgets.recon.reconstruction import Method, Reconstruction, Refusal, maps_of
from kband_core.coils import merge_sets
from kband_core.model_card import IMAGE
from kband_core.models import Card, load_head, load_model
from kband_core.reconstruct import Given
from kband_core.shot_angles import nyquist_shots, shot_kind
from kband_core.shots import shots_noise, shots_scale
from kband_core.uncertainty.expected_error import expected_error


@dataclass(frozen=True)
class ShotsNetwork(Method):
    """The network of a card, with the maps of the buffer; images unlike all it has seen are not for it."""

    card: Card
    outside_card: OutsideCard = "fallback"
    denoising: float = 1.0  # share of the noise that it is told of

    @property
    def label(self) -> str:
        return self.card.label

    def reconstruct(self, buffer: ReconBuffer) -> Reconstruction:
        self._require_known(buffer)
        model = load_model(self.card, maps_of(buffer).device)
        told = (replace(given, noise=self.denoising * given.noise) for given in _given(buffer))
        sets = torch.cat([given.image_of(model) for given in told])
        return Reconstruction(merge_sets(sets), notes=model_notes(self.card, self.denoising), sets=sets)

    def expected_error(self, buffer: ReconBuffer, sets: Tensor) -> Tensor:
        """Return the expected error `(z, y, x)` of image sets that it has made of a buffer."""
        head, table = load_head(self.card, sets.device), self.card.reliability[IMAGE]
        each = zip(sets.split(1), _given(buffer), strict=True)
        return torch.cat([expected_error(image, given, head, table) for image, given in each])

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


def _given(buffer: ReconBuffer) -> Iterator[Given]:
    """What the network is given of a buffer, of a stack plane by plane."""
    sampling = buffer.sampling[0, 0]
    for kspace, csm in zip(shot_planes(buffer).split(1), maps_of(buffer).split(1), strict=True):
        yield Given.along(kspace, sampling, csm)
