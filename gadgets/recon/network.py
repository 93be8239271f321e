"""A trained network of the model registry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Annotated, ClassVar, Literal

import torch
from torch import Tensor, nn

from gadgets.errors import PipelineError, ScanError
from gadgets.gadget import field
from gadgets.items import Calibration, ReconBuffer
from gadgets.recon.combined import noise_of
from gadgets.recon.memory import within_memory
from gadgets.recon.noise_ahead import NoiseAhead
from gadgets.recon.reconstruction import Method, Reconstruction, Refusal, maps_of
from gadgets.recon.trial_planes import noise_planes, say, small_plane
from kband_core import reconstruct
from kband_core.coils import merge_sets
from kband_core.likeness import signal_to_noise, unmapped_share
from kband_core.model_card import IMAGE
from kband_core.models import Card, load_card, load_head, load_model
from kband_core.reconstruct import Given
from kband_core.recorded import n_lost
from kband_core.sampling import Grid
from kband_core.scaling import central_brightness, check_scale
from kband_core.self_ensemble import GUISES
from kband_core.uncertainty.expected_error import expected_error

OTHERS = {"upnet": "maps water and fat", "line_evaluator": "chooses lines"}  # what networks do that make no images

OutsideCard = Annotated[
    Literal["fallback", "refuse"],
    field(description="of scans unlike those it was trained on: fallback: SENSE, marked; refuse: end the scan"),
]

SelfEnsemble = Annotated[
    int,
    field(ge=1, le=1 + len(GUISES), description="guises of a scan whose images are averaged: less error, more time"),
]


def look_up_model(who: str, name: str) -> Card:
    """Return the card of a model for the gadget `who`, and load it. Raises `PipelineError`."""
    try:
        card = load_card(name)
        load_model(card)
    except ValueError as error:
        raise PipelineError(f"{who}.model: {error}") from error
    if card.network.name in OTHERS:
        raise PipelineError(f"{who}.model: {name} {OTHERS[card.network.name]}; a model that makes images expected")
    return card


@dataclass
class Network(Method):
    """The network of a card, with the maps of the buffer; images unlike all it has seen are not for it.

    Where a GPU's memory does not suffice, partitions are reconstructed one by one, then on the CPU.
    """

    card: Card
    outside_card: OutsideCard = "fallback"
    denoising: float = 1.0  # share of the noise that it is told of
    self_ensemble: int = 1  # guises of a scan whose images are averaged
    fills_one_side: ClassVar[bool] = True

    def __post_init__(self) -> None:
        self._noise = NoiseAhead()

    @property
    def label(self) -> str:
        return self.card.label

    def prepare(self, calibration: Calibration) -> None:
        """Tell the noise, and run the network once on some. Raises `ValueError` if it fails there."""
        self._noise.prepare(calibration)
        try:
            _run_once(load_model(self.card, calibration.acs.device), *small_plane(calibration), n_lost())
        except (ValueError, RuntimeError) as error:
            raise ValueError(f"the network fails on noise: {error}") from error

    def reconstruct(self, buffer: ReconBuffer) -> Reconstruction:
        self.require_known(buffer)
        return self.image_by(partial(load_model, self.card), buffer)

    def image_by(self, model_on: Callable[[torch.device], nn.Module], buffer: ReconBuffer) -> Reconstruction:
        """Make the image of a buffer that is known, by this network or by what has become of it, where the device
        allows."""
        kspace, sampling = buffer.planes()
        noise, scale = self.denoising * self._noise.of(buffer), central_brightness(kspace)

        def on_planes(kspace: Tensor, sampling: Grid, csm: Tensor, noise: Tensor, scale: Tensor) -> Tensor:
            model = model_on(kspace.device)
            return reconstruct.network_sets(kspace, sampling, csm, model, noise, scale, self.self_ensemble)

        sets = within_memory(self.card.name, on_planes, kspace, sampling, maps_of(buffer), noise, scale)
        notes = model_notes(self.card, self.denoising)
        if self.self_ensemble > 1:
            notes["kband_self_ensemble"] = str(self.self_ensemble)
        return Reconstruction(merge_sets(sets), notes=notes, sets=sets)

    def require_known(self, buffer: ReconBuffer) -> None:
        """Raise `ScanError` for an image unlike all that the network has seen, or `Refusal`; `ValueError` without maps.
        """
        sampling = buffer.plane_sampling
        problems = self.card.mismatch(
            matrix=tuple(buffer.kspace.shape[-2:]),
            acceleration=sampling.acceleration(),
            acs_lines=sampling.central_lines(),  # they tell scale and contrast; calibration scanned apart does not
            sampling="lines" if sampling.is_by_lines() else "samples",
            spacing=sampling.spacing(),
            coils=buffer.kspace.shape[3],
        ) or self.card.mismatch(**_signal(buffer))
        if problems and self.outside_card == "refuse":
            raise Refusal("; ".join(problems))
        maps_of(buffer)
        if problems:
            raise ScanError("; ".join(problems))

    def expected_error(self, buffer: ReconBuffer, sets: Tensor) -> Tensor:
        """Return the expected error `(z, y, x)` of image sets that it has made of a buffer."""
        kspace, sampling = buffer.planes()
        noise = self._noise.of(buffer)
        return within_memory(self.card.name, self._errors, kspace, sampling, maps_of(buffer), noise, sets)

    def _errors(self, kspace: Tensor, sampling: Grid, csm: Tensor, noise: Tensor, sets: Tensor) -> Tensor:
        given = Given.on_grid(kspace, sampling, csm, noise)
        return expected_error(sets, given, load_head(self.card, kspace.device), self.card.reliability[IMAGE])


def model_notes(card: Card, denoising: float) -> dict[str, str]:
    """Say of an image by which weights it was made, and, also in its comment, of which share of the noise they were
    told, unless it was all."""
    notes = {"kband_model": card.name, "kband_model_sha256": card.sha256[:12]}
    if denoising == 1:
        return notes
    return {**notes, "kband_denoising": f"{denoising:g}", "ImageComments": f"denoising {denoising:g}"}


def _signal(buffer: ReconBuffer) -> dict[str, float]:
    """SNR of the brightest partition, others may be air, and the share of its calibration that maps leave out."""
    level = noise_of(buffer) * torch.ones((), device=buffer.kspace.device)
    of_planes = signal_to_noise(buffer.planes()[0], level)
    if buffer.csm is None or buffer.acs is None:
        return {"snr": max(check_scale(of_planes).tolist())}
    acs, csm = buffer.acs[0], buffer.csm[0]
    if len(of_planes) > 1:
        brightest = of_planes.argmax(0, keepdim=True)
        acs, csm = acs.index_select(0, brightest), csm.index_select(0, brightest)
    *of_planes, unmapped = torch.cat((of_planes, unmapped_share(acs, csm, level))).tolist()
    return {"snr": float(check_scale(torch.tensor(of_planes)).max()), "unmapped": unmapped}


@lru_cache(maxsize=64)
def _run_once(module: nn.Module, device: torch.device, n_coils: int, matrix: tuple[int, int], lost: int) -> None:
    """Let the first image find libraries loaded, kernels chosen and, on a GPU, recorded: run the network on noise, once
    for each shape, and again when more recordings are `lost`."""
    planes = noise_planes(device, n_coils, matrix)
    reconstruct.network(*planes, module)
    say(Given.on_grid(*planes).record(module))
