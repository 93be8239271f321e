"""RAKI: networks fitted to this scan's calibration lines while the scan runs, with an exact noise map."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from gadgets.coils.per_slice import PerSlice
from gadgets.errors import ScanError
from gadgets.gadget import Gadget, field
from gadgets.images.quantitative import GFACTOR, SNR, quantity_array
from gadgets.items import Calibration, ImageArray, ReconBuffer, acquired_lines
from gadgets.recon.completed import combined
from gadgets.recon.grappa_recon import GrappaRecon
from gadgets.recon.reconstruction import (
    COMBINED,
    Deadline,
    OnFailure,
    Reconstruction,
    combine_coils,
    to_recon_space,
)
from gadgets.scan import Encoding
from kband_core.grappa import GrappaKernel
from kband_core.raki.closed_form import fit_raki_rf
from kband_core.raki.fit import fit_raki
from kband_core.raki.gfactor import gfactor_map
from kband_core.raki.network import RakiNetwork, interpolate

log = logging.getLogger(__name__)

MOST_WAITING = 64  # buffers kept for their maps: 0.4 GB at 256² and 12 coils


@dataclass
class RakiRecon(Gadget):
    """Fill the missing lines by RAKI and combine the coils, by maps where `CoilSensitivities` stands before it.

    The fit starts at the `Calibration` item; one that exceeds its time budget hands over to GRAPPA, and the image is
    marked. Needs lines on an R-fold grid; at R=1 only the coils are combined, and there is no g-factor.
    """

    accepts: ClassVar[tuple[type, ...]] = (Calibration, ReconBuffer)
    emits: ClassVar[tuple[type, ...]] = (ImageArray,)

    schedule: Annotated[
        Literal["fast", "paper", "random_features"],
        field(description="fast: 120 steps and a ridge; paper: 500 epochs; random_features: ridge alone, ours"),
    ] = "fast"
    slope: Annotated[float, field(ge=0, le=1, description="of the activation's negative side; 1 is linear")] = 0.5
    seed: Annotated[int, field(ge=0, description="of the random weights a fit starts from")] = 0
    time_budget: Annotated[float, field(gt=0, description="longest time for one fit, s; then GRAPPA")] = 30.0
    gfactor: Annotated[bool, field(description="also send g-factor maps, as a series of their own")] = False
    snr: Annotated[bool, field(description="also send maps of the SNR; needs a noise scan")] = False
    on_failure: OnFailure = "fallback"
    deadline: Deadline = 60.0

    def process(self, items: Iterable[Calibration | ReconBuffer]) -> Iterator[ImageArray]:
        """Emit the images of each buffer; their maps follow when `MOST_WAITING` wait, or at the end, so that no image
        waits for a map. Raises `ScanError` at the end if maps could not be made.
        """
        reconstruction = Reconstruction("RakiRecon", self.on_failure, self.deadline)
        latest: dict[int, RakiNetwork] = {}  # by encoding

        def fit(acs: Tensor, encoding: Encoding, matrix: tuple[int, int]) -> list[RakiNetwork]:
            fitted = self.fit(acs, encoding, matrix, neighbour=latest.get(encoding.index))
            latest[encoding.index] = fitted[-1]
            return fitted

        networks = PerSlice("RakiRecon", fit)
        kernels = PerSlice("RakiRecon", GrappaRecon().fit)
        methods = {
            "RAKI": lambda buffer: self._reconstruct(buffer, networks),
            "GRAPPA": lambda buffer: GrappaRecon().reconstruct(buffer, kernels),
        }
        failures: list[str] = []
        waiting: list[_Waiting] = []
        for item in items:
            is_accelerated = item.encoding.acceleration[0] > 1
            if isinstance(item, Calibration):
                if is_accelerated:
                    networks.prepare(item)
                continue
            images = reconstruction.images(item, methods if is_accelerated else {COMBINED: combine_coils})
            yield images
            if (self.gfactor and is_accelerated) or self.snr:
                used = {meta["kband_method"] for meta in images.meta.flat}
                fits = {"RAKI": networks, "GRAPPA": kernels}
                waiting.append(_Waiting(item, images, {name: fits[name].of(item) for name in used & fits.keys()}))
            if len(waiting) >= MOST_WAITING:
                yield from self._all_maps(waiting, failures)
        yield from self._all_maps(waiting, failures)
        if failures:
            raise ScanError(f"RakiRecon: {len(failures)} g-factor maps could not be made: {failures[0]}")

    def fit(
        self, acs: Tensor, encoding: Encoding, matrix: tuple[int, int], *, neighbour: RakiNetwork | None = None
    ) -> list[RakiNetwork]:
        """One network for each slice (and z).

        "fast" trains only where there is no `neighbour`: every further slice takes the hidden layers of the one before
        and solves for the rest. The other schedules start each slice from the same random weights.
        """
        acceleration, rng = encoding.acceleration[0], torch.Generator().manual_seed(self.seed)
        if self.schedule == "fast":
            networks = []
            for one in acs:
                neighbour = fit_raki(
                    one, acceleration, rng=rng, slope=self.slope, time_budget=self.time_budget, warm_start=neighbour,
                    **_weighting(encoding),
                )  # fmt: skip
                networks.append(neighbour)
            return networks
        if self.schedule == "paper":
            network = fit_raki(
                acs, acceleration, rng=rng, schedule="paper", slope=self.slope, time_budget=self.time_budget
            )
        else:
            network = fit_raki_rf(acs, acceleration, rng=rng, slope=self.slope, **_weighting(encoding))
        return [network.of_slice(index) for index in range(len(acs))]

    def _reconstruct(self, buffer: ReconBuffer, networks: PerSlice[RakiNetwork]) -> Tensor:
        network = networks.of(buffer)[0]
        return combined(buffer, lambda kspace, mask: interpolate(network, kspace, acquired_lines(mask)))

    def _all_maps(self, waiting: list[_Waiting], failures: list[str]) -> Iterator[ImageArray]:
        while waiting:
            try:
                yield from self._maps(waiting.pop(0))
            except (ValueError, RuntimeError) as error:
                log.warning("RakiRecon: no g-factor map: %s", error)
                failures.append(str(error))

    def _maps(self, of: _Waiting) -> list[ImageArray]:
        """g-factor of whatever made each image, and image over noise, both on the recon matrix."""
        shape, acceleration = of.images.headers.shape, of.buffer.encoding.acceleration[0]
        gfactor = torch.stack([_gfactor(of, index) for index in np.ndindex(shape)]).unflatten(0, shape)
        maps = [quantity_array(of.images, GFACTOR, gfactor)] if self.gfactor and acceleration > 1 else []
        if self.snr:
            noise = gfactor * acceleration**0.5
            signal = of.images.data.squeeze(-4).abs()
            maps.append(quantity_array(of.images, SNR, torch.where(noise > 0, signal / noise.clamp(min=1e-9), 0.0)))
        return maps


def _weighting(encoding: Encoding) -> dict[str, Any]:
    """Where calibration lines are in the image, the centre is measured: then the fit may care for the other lines."""
    if encoding.calibration_mode in ("separate", "external"):
        return {}
    return {"windows": "balanced", "regularisation": 1e-2}


@dataclass(frozen=True)
class _Waiting:
    """Images whose maps are still to be made, and the fits, by method and slice, that made them."""

    buffer: ReconBuffer
    images: ImageArray
    fits: dict[str, list[RakiNetwork | GrappaKernel]]


def _gfactor(of: _Waiting, index: tuple[int, int, int]) -> Tensor:
    buffer, method = of.buffer.single(index), of.images.meta[index]["kband_method"]
    kspace, mask = buffer.planes()
    if buffer.encoding.acceleration[0] == 1:
        gfactor = torch.ones(kspace.shape[0], *kspace.shape[-2:], device=kspace.device)
    elif method in of.fits:
        combination = None if buffer.csm is None else buffer.csm[0, :, 0].conj()
        gfactor = gfactor_map(
            of.fits[method][index[0]], kspace, acquired_lines(mask), combination=combination,
            linearisation="widely_linear",
        )  # fmt: skip
    else:
        raise ValueError(f"the image is {method}")
    return to_recon_space(gfactor + 0j, buffer.encoding, buffer.kspace.shape[-1]).real.cpu()
