"""Maps by a trained network, where its card says that it has seen the like."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from gadgets.errors import PipelineError
from gadgets.images.series import FALLBACK
from gadgets.items import ImageArray
from gadgets.mrd import ismrmrd
from kband_core.model_card import Card
from kband_core.models import load_card, load_model
from kband_core.relaxometry.learned import water_fat_network
from kband_core.relaxometry.water_fat import WaterFatMaps


@dataclass(frozen=True)
class LearnedMaps:
    """The network of a card that maps water and fat."""

    card: Card

    @classmethod
    def named(cls, who: str, name: str) -> LearnedMaps:
        """Look a model up for the gadget `who`, and load it. Raises `PipelineError`, also for one that makes images."""
        try:
            card = load_card(name)
            load_model(card)
        except ValueError as error:
            raise PipelineError(f"{who}.model: {error}") from error
        if card.echoes is None:
            raise PipelineError(f"{who}.model: {name} makes images; a model that maps water and fat expected")
        return cls(card)

    def unseen(
        self, echo_times_ms: Sequence[float], field_t: float, shape: tuple[int, int], metas: Sequence[ismrmrd.Meta]
    ) -> str | None:
        """Say in what echoes of `shape` lie outside what the network has seen, or None if in nothing."""
        known = [float(meta["kband_acceleration"]) for meta in metas if "kband_acceleration" in meta]
        found = self.card.echoes.mismatch(self.card.name, echo_times_ms, field_t)
        found += self.card.mismatch(matrix=shape, acceleration=max(known, default=None))
        return "; ".join(found) or None

    def maps(self, echoes: Tensor, echo_times_ms: Sequence[float], field_t: float) -> WaterFatMaps:
        """Map the echoes `(echo, y, x)` of a slice."""
        return water_fat_network(echoes, echo_times_ms, field_t, load_model(self.card), self.card.reliability)


def say_who(image: ImageArray, learned: LearnedMaps, fallback: str | None) -> None:
    """Say in the meta of the one image that maps stand beside whose they are: the network's, or, with a reason, those
    of the fit. Such maps are a series of their own, as those of a fallback image are.
    """
    meta = image.meta[0, 0, 0]
    if fallback is None:
        meta["kband_maps"] = f"{learned.card.name} {learned.card.sha256[:12]}"
        meta["ImageComments"] = f"maps by {learned.card.label}; {meta['ImageComments']}"
        return
    meta["kband_maps"] = "fit"
    meta["ImageComments"] = f"FALLBACK maps by the fit: {fallback}; {meta['ImageComments']}"
    if meta["kband_fallback"] == "no":
        meta["kband_fallback"] = f"WaterFat: {fallback}"
        meta["SequenceDescriptionAdditional"] += "_FALLBACK"
        header = copy.deepcopy(image.headers[0, 0, 0])
        header.image_series_index += FALLBACK
        image.headers[0, 0, 0] = header
