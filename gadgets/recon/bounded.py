"""A network's image that says how far it may be from the truth."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

import torch
from torch import Tensor

from gadgets.errors import PipelineError
from gadgets.gadget import field
from gadgets.images.quantitative import EXPECTED_ERROR
from gadgets.items import Calibration, ReconBuffer
from gadgets.recon.network import Network
from gadgets.recon.partial_fourier import spans_of
from gadgets.recon.reconstruction import Method, Reconstruction
from gadgets.recon.shots_network import ShotsNetwork
from kband_core.coils import merge_sets
from kband_core.models import Card, load_head
from kband_core.uncertainty.expected_error import predicted_nmse

BRIGHT = 0.95  # quantile of the magnitude: the image's brightness

Uncertainty = Annotated[
    bool,
    field(description="bound the NMSE of each image, in meta and comment, and send a series of expected errors"),
]


@dataclass(frozen=True)
class Bounded(Method):
    """The image of `method`, in which `network` plays the main part, with its expected error and a bound of its NMSE.

    The bound is that of a single plane that lacks nothing on one side of k-space, like the scans from which it comes.
    An image that GRAPPA has completed is no longer the network's, and gets neither bound nor map.
    """

    method: Method
    network: Network | ShotsNetwork

    @property
    def label(self) -> str:
        return self.method.label

    @property
    def fills_one_side(self) -> bool:
        return self.method.fills_one_side

    def prepare(self, calibration: Calibration) -> None:
        self.method.prepare(calibration)

    def reconstruct(self, buffer: ReconBuffer) -> Reconstruction:
        made = self.method.reconstruct(buffer)
        if made.sets is None:
            return made
        merged, shown = merge_sets(made.sets).abs(), made.image.abs()
        shading = torch.where(merged > 0, shown / merged, 0.0)
        sigma = shading * self.network.expected_error(buffer, made.sets)
        brightness = torch.quantile(shown.flatten(1), BRIGHT, dim=1)[:, None, None]
        maps = {**made.maps, EXPECTED_ERROR.name: _Known(100 * sigma / brightness)}
        return replace(made, maps=maps, notes={**made.notes, **self._bound(sigma, shown, buffer)})

    def _bound(self, sigma: Tensor, shown: Tensor, buffer: ReconBuffer) -> dict[str, str]:
        if len(shown) > 1 or spans_of(buffer):
            return {}
        told = self.network.card.uncertainty
        bound = f"{told.factor * float(predicted_nmse(sigma, shown)):.3g}"
        said = f"NMSE ≤ {bound} with {100 * told.level:g} % on simulated scans"
        return {"kband_nmse_bound": bound, "kband_nmse_bound_level": f"{told.level:g}", "ImageComments": said}


@dataclass(frozen=True)
class _Known:
    """A map that is there already."""

    values: Tensor

    def compute(self) -> Tensor:
        return self.values


def look_up_head(who: str, card: Card) -> None:
    """Load what says how large the errors of a model are, for the gadget `who`. Raises `PipelineError`."""
    try:
        load_head(card)
    except ValueError as error:
        raise PipelineError(f"{who}.uncertainty: {error}") from error
