"""A trained network that learns from the image it is for before it makes that image."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Annotated, ClassVar

import torch
from torch import nn

from gadgets.errors import PipelineError
from gadgets.gadget import field
from gadgets.items import Calibration, ReconBuffer
from gadgets.recon.network import Network
from gadgets.recon.reconstruction import Method, Reconstruction, maps_of
from gadgets.recon.trial_planes import noise_planes, small_plane
from kband_core.adaptation.adapting import Adapted, adapt
from kband_core.adaptation.learner import require_adaptable
from kband_core.models import Card, load_model
from kband_core.noise import noise_level
from kband_core.plural import counted

log = logging.getLogger(__name__)

AdaptSeconds = Annotated[
    float,
    field(ge=0, le=600, description="longest time to learn from each image's own lines, s; 0: not at all"),
]


@dataclass(frozen=True)
class AdaptedNetwork(Method):
    """The network of a card, its last denoiser taught by the acquired lines of the very image, if held-out ones gain.

    Each image is learnt from by itself, beginning with the weights that came: it waits for no other, and a replay of a
    part of a scan shows the same. Learning ends by itself within 40 steps; an image with the time for them is the same
    whenever it is made. Where nothing is gained, or nothing can be learnt, as from several partitions, the image is
    that of the network as it came, and says so.
    """

    network: Network
    seconds: float
    fills_one_side: ClassVar[bool] = True

    @property
    def label(self) -> str:
        return self.network.label

    def prepare(self, calibration: Calibration) -> None:
        """Run the network once on noise, and let it learn from that. Raises `ValueError` if it fails there."""
        self.network.prepare(calibration)
        try:
            _learn_once(load_model(self.network.card, calibration.acs.device), *small_plane(calibration))
        except RuntimeError as error:
            raise ValueError(f"the network cannot learn from noise: {error}") from error

    def reconstruct(self, buffer: ReconBuffer) -> Reconstruction:
        self.network.require_known(buffer)
        try:
            adapted = self._adapted(buffer)
        except (ValueError, RuntimeError, MemoryError) as error:  # memory, of which an image alone needs less
            log.warning("%s does not adapt: %s", self.label, error)
            return self._as_it_came(buffer, f"no ({error})")
        if adapted.steps == 0:
            return self._as_it_came(buffer, f"no gain in {counted(adapted.tried, 'step')}")
        said = f"{counted(adapted.steps, 'step')}, held-out error {100 * adapted.gain:.1f} % less"
        log.info("%s: adapted in %.1f s, %d steps tried: %s", self.label, adapted.seconds, adapted.tried, said)
        made = self.network.image_by(adapted.model.to, buffer)
        notes = {"kband_adapted": said, "ImageComments": f"adapted to its own lines: {said}"}
        return replace(made, notes={**made.notes, **notes})

    def _as_it_came(self, buffer: ReconBuffer, why: str) -> Reconstruction:
        made = self.network.image_by(partial(load_model, self.network.card), buffer)  # it is known to be like its card
        return replace(made, notes={**made.notes, "kband_adapted": f"{why}: network as it came"})

    def _adapted(self, buffer: ReconBuffer) -> Adapted:
        kspace, sampling = buffer.planes()
        if len(kspace) > 1:
            raise ValueError(f"{len(kspace)} partitions, one expected")
        return adapt(
            load_model(self.network.card, kspace.device), kspace, sampling, maps_of(buffer),
            noise_level(kspace, sampling.mask), rng=torch.Generator().manual_seed(0), seconds=self.seconds,
        )  # fmt: skip


@lru_cache(maxsize=64)
def _learn_once(module: nn.Module, device: torch.device, n_coils: int, matrix: tuple[int, int]) -> None:
    """Load what learning needs, which takes seconds, before the first image waits for it."""
    planes = noise_planes(device, n_coils, matrix)
    adapt(module, *planes, torch.ones(1, device=device), rng=torch.Generator().manual_seed(0), steps=1)


def require_time_to_adapt(who: str, card: Card, seconds: float, deadline: float, *, is_bounded: bool) -> None:
    """Raise `PipelineError`, in the name of gadget `who`, where a network cannot adapt, or not in time.

    `is_bounded`: whether a bound of its error is asked for, which was calibrated on images of the network as it came.
    """
    try:
        require_adaptable(load_model(card))
    except ValueError as error:
        raise PipelineError(f"{who}.adapt_seconds: model '{card.name}': {error}") from error
    if is_bounded:
        raise PipelineError(
            f"{who}.adapt_seconds: the bound of uncertainty holds for networks as they came; leave one out"
        )
    if seconds >= deadline:
        raise PipelineError(f"{who}.adapt_seconds: {seconds:g} s, less than the deadline of {deadline:g} s expected")
