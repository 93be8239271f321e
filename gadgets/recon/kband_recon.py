"""Trained networks in the chain: k-band models, and whatever else has a card in the model registry."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import takewhile
from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from gadgets.coils.per_slice import PerSlice
from gadgets.errors import PipelineError, ScanError
from gadgets.gadget import Gadget, field
from gadgets.items import Calibration, ImageArray, ReconBuffer, acquired_lines
from gadgets.recon.completed import completed
from gadgets.recon.grappa_recon import GrappaRecon
from gadgets.recon.memory import within_memory
from gadgets.recon.reconstruction import COMBINED, Deadline, OnFailure, Reconstruction, combine_coils, maps_of
from gadgets.recon.sense_recon import SenseRecon
from gadgets.scan import Scan
from kband_core import reconstruct
from kband_core.grappa import GrappaKernel, kernel_misfit
from kband_core.models import load_card, load_model

log = logging.getLogger(__name__)

SMALL = (32, 32)  # the CPU is slow at the first run of a process, whatever its shape; a GPU at the first of each shape


@dataclass
class KBandRecon(Gadget):
    """Reconstruct each buffer by a trained network, with the maps the buffer carries; any line pattern.

    What lies outside the model's card, that is, unlike all it has seen in training, is reconstructed by SENSE, and
    marked; so is an image at which the network fails. Where no line was left out, only the coils are combined. The
    model is loaded before the first line and tried out at the `Calibration` item. Where a GPU's memory does not
    suffice, partitions are reconstructed one by one, then on the CPU.

    Where the image misses acquired lines by more than noise, coils whose lines GRAPPA has filled take its place.
    """

    accepts: ClassVar[tuple[type, ...]] = (Calibration, ReconBuffer)
    emits: ClassVar[tuple[type, ...]] = (ImageArray,)

    model: Annotated[str, field(description="name of a trained model; kband doctor lists them")] = "simulated_small"
    outside_card: Annotated[
        Literal["fallback", "refuse"],
        field(description="of scans unlike those it was trained on: fallback: SENSE, marked; refuse: end the scan"),
    ] = "fallback"
    on_failure: OnFailure = "fallback"
    deadline: Deadline = 60.0

    def look_up(self) -> None:
        """Load the model and check it against its card."""
        try:
            self._card = load_card(self.model)
            load_model(self._card)
        except ValueError as error:
            raise PipelineError(f"KBandRecon.model: {error}") from error

    def open(self, scan: Scan) -> None:
        """Refuse a missing or damaged model, and, if told to, a matrix that it has not seen."""
        self.look_up()
        for encoding in scan.encodings if self.outside_card == "refuse" else ():
            if problems := self._card.mismatch(matrix=(encoding.encoded_matrix[1], encoding.readout_samples)):
                raise PipelineError(f"KBandRecon: encoding {encoding.index}: {problems[0]}")

    def process(self, items: Iterable[Calibration | ReconBuffer]) -> Iterator[ImageArray]:
        """Emit one image array for each buffer; the meta of what the network made names the model and its hash."""
        reconstruction = Reconstruction("KBandRecon", self.on_failure, self.deadline)
        name = f"k-band {self.model}"
        kernels = PerSlice("KBandRecon", GrappaRecon().fit)
        for item in items:
            if isinstance(item, Calibration):
                self._try_out(item)
                if item.encoding.acceleration[0] > 1:
                    kernels.prepare(item)
                continue
            sense = partial(SenseRecon().reconstruct, kernels=kernels)
            methods = {name: partial(self._reconstruct, kernels=kernels), "SENSE": sense}
            undersampled = [lines for lines in _lines_of_each(item) if lines is None or lines.sum() < _n_lines(item)]
            if self.outside_card == "refuse":
                self._refuse(item, undersampled)
            images = reconstruction.images(item, methods if undersampled else {COMBINED: combine_coils})
            for meta in images.meta.flat:
                if meta["kband_method"] == name:
                    meta["kband_model"], meta["kband_model_sha256"] = self.model, self._card.sha256[:12]
            yield images

    def _try_out(self, item: Calibration) -> None:
        device, n_coils = item.acs.device, item.acs.shape[-3]
        if item.encoding.acceleration[0] == 1:
            return
        try:
            _run_once(load_model(self._card, device), device, n_coils, SMALL if device.type == "cpu" else item.matrix)
        except (ValueError, RuntimeError) as error:  # the image meets it again, and says so
            log.warning("KBandRecon: the network fails on noise: %s", error)

    def _refuse(self, buffer: ReconBuffer, undersampled: list[Tensor | None]) -> None:
        for lines in undersampled:
            if lines is not None and (problems := self._mismatch(buffer, lines)):
                raise ScanError(f"KBandRecon: {'; '.join(problems)}")

    def _mismatch(self, buffer: ReconBuffer, lines: Tensor) -> list[str]:
        return self._card.mismatch(
            matrix=tuple(buffer.kspace.shape[-2:]),
            acceleration=len(lines) / max(int(lines.sum()), 1),
            acs_lines=_n_central(lines),
            sampling="lines",
        )

    def _reconstruct(self, buffer: ReconBuffer, kernels: PerSlice[GrappaKernel]) -> Tensor:
        maps_of(buffer)
        lines = acquired_lines(buffer.planes()[1])
        if problems := self._mismatch(buffer, lines):
            raise ScanError("; ".join(problems))
        return completed(buffer, partial(within_memory, "KBandRecon", self._network), kernels, kernel_misfit)

    def _network(self, kspace: Tensor, mask: Tensor, csm: Tensor) -> Tensor:
        return reconstruct.network_sets(kspace, mask, csm, load_model(self._card, kspace.device))


def _lines_of_each(buffer: ReconBuffer) -> list[Tensor | None]:
    """Lines `(ky,)` of each image, as the network gets them; None where partitions differ, which no method can use."""
    lines: list[Tensor | None] = []
    for index in np.ndindex(buffer.headers.shape):
        try:
            lines.append(acquired_lines(buffer.single(index).planes()[1]))
        except ValueError:
            lines.append(None)
    return lines


def _n_lines(buffer: ReconBuffer) -> int:
    """Lines that the encoding has; fewer than rows with partial Fourier and with zero-padding."""
    return min(len(buffer.encoding.step1), buffer.kspace.shape[-2])


def _n_central(lines: Tensor) -> int:
    """Adjacent lines in the centre: what tells the network scale and contrast; calibration scanned apart does not."""
    acquired = lines.tolist()
    below, above = reversed(acquired[: len(acquired) // 2]), acquired[len(acquired) // 2 :]
    return sum(1 for side in (below, above) for _ in takewhile(bool, side))


@lru_cache(maxsize=64)
def _run_once(module: nn.Module, device: torch.device, n_coils: int, matrix: tuple[int, int]) -> None:
    """Let the first image find libraries loaded and kernels chosen: run the network on noise, once for each shape."""
    rng = torch.Generator().manual_seed(0)
    kspace = torch.randn(1, n_coils, *matrix, dtype=torch.complex64, generator=rng).to(device)
    mask = torch.ones(1, matrix[0], 1, dtype=torch.bool, device=device)
    csm = torch.full((1, 1, n_coils, *matrix), n_coils**-0.5, dtype=torch.complex64, device=device)
    reconstruct.network(kspace, mask, csm, module)
