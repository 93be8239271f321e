"""Whitening of the lines by the scan's own noise readouts."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import inf, sqrt
from typing import Annotated, ClassVar

import numpy as np
import torch
from torch import Tensor

from gadgets.errors import PipelineError, ScanError
from gadgets.flags import is_never_image, is_noise
from gadgets.gadget import Gadget, field
from gadgets.items import Aside
from gadgets.mrd import ismrmrd
from gadgets.scan import Scan
from kband_core.plural import counted
from kband_core.threads import single_thread
from kband_core.whitening import (
    PARTS,
    is_steady,
    noise_covariance,
    silent_coils,
    whiten,
    whitening_of_others,
)

log = logging.getLogger(__name__)


@dataclass
class NoiseAdjust(Gadget):
    """Whiten every line by the noise readouts that came before the first image or calibration line, which end here.

    Noise is then uncorrelated between coils with SD 1 per real and imaginary component. The scale is that of the first
    image or calibration line, for all lines, so that lines of different dwell time keep their relation. Lines pass
    unchanged where there is no noise readout; the stock gadget would also look for one of an earlier measurement.
    """

    accepts: ClassVar[tuple[type, ...]] = (ismrmrd.Acquisition,)
    emits: ClassVar[tuple[type, ...]] = (ismrmrd.Acquisition,)
    twin_of: ClassVar[str] = "NoiseAdjustGadget"
    stock_only: ClassVar[frozenset[str]] = frozenset({
        "noise_dependency_prefix", "noise_dependency_folder", "noise_dwell_time_us_preset",
        "scale_only_channels_by_name",
    })  # fmt: skip

    perform_noise_adjust: Annotated[bool, field(description="whiten; if not, noise readouts still end here")] = True
    pass_nonconformant_data: Annotated[
        bool, field(description="let navigators and other non-image lines with another number of coils pass unwhitened")
    ] = True

    def open(self, scan: Scan) -> None:
        """Take the receiver's relative noise bandwidth from the header."""
        self._bandwidth = scan.noise_bandwidth
        if not 0 < self._bandwidth < inf:
            raise PipelineError(
                f"NoiseAdjustGadget: relativeReceiverNoiseBandwidth is {self._bandwidth}, expected above 0"
            )

    def process(self, lines: Iterable[ismrmrd.Acquisition]) -> Iterator[ismrmrd.Acquisition | Aside]:
        noise = _NoiseScan()
        matrix: Tensor | None = None
        settled, flaw = not self.perform_noise_adjust, None
        for number, line in enumerate(lines):
            if is_noise(line):
                if not settled and (spoiled := noise.add(line, number)):
                    yield Aside("warning", f"NoiseAdjustGadget: noise readout in line {number} set aside: {spoiled}")
                continue
            if not settled:
                matrix = noise.whitening(line.sample_time_us, self._bandwidth)
                settled = not is_never_image(line)
                if settled and (flaw := noise.flaw):
                    yield Aside("warning", f"NoiseAdjustGadget: {flaw}")
                elif settled and matrix is None:
                    log.warning("NoiseAdjustGadget: no noise before the first image line; lines pass unwhitened")
            yield line if matrix is None else self._whitened(line, matrix, number)
        if flaw:  # the images are made; nothing in them tells
            raise ScanError(f"NoiseAdjustGadget: {flaw}")

    def _whitened(self, line: ismrmrd.Acquisition, matrix: Tensor, number: int) -> ismrmrd.Acquisition:
        if line.active_channels != len(matrix):
            if is_never_image(line) and self.pass_nonconformant_data:
                return line
            raise ScanError(
                f"NoiseAdjustGadget: line {number} has {counted(line.active_channels, 'coil')}, the noise scan had "
                f"{len(matrix)}"
            )
        with single_thread():
            whitened = whiten(torch.tensor(line.data), matrix, dim=-2)
        return ismrmrd.Acquisition(line.getHead(), whitened.numpy(), line.traj)


class _NoiseScan:
    """The noise readouts so far, and the dwell time of the first of them that has one."""

    def __init__(self) -> None:
        self.readouts: list[np.ndarray] = []
        self.dwell_us = 0.0
        self.flaw: str | None = None  # what is wrong with the scan of noise as a whole

    def add(self, line: ismrmrd.Acquisition, number: int) -> str | None:
        """Keep a readout, unless a receiver spoiled it; then say how."""
        if not np.isfinite(line.data).all():
            return "it holds non-finite samples"
        if self.readouts and len(self.readouts[0]) != line.active_channels:
            raise ScanError(
                f"NoiseAdjustGadget: the noise readout in line {number} has {counted(line.active_channels, 'coil')}, "
                f"the one before had {len(self.readouts[0])}"
            )
        self.readouts.append(line.data)
        self.dwell_us = self.dwell_us or line.sample_time_us
        return None

    def whitening(self, dwell_us: float, bandwidth: float) -> Tensor | None:
        """Return the matrix that whitens lines of this dwell time, or None where there is no noise to tell it from.

        A coil without noise was not received: it is left out, and its lines become zero. `flaw` says so then.
        """
        self.flaw = None
        if not self.readouts:
            return None
        if self._holds_an_echo():
            self.flaw = "the noise readouts hold an echo; lines pass unwhitened"
            return None
        try:
            covariance = noise_covariance(torch.from_numpy(np.concatenate(self.readouts, axis=-1)))
            silent = silent_coils(covariance)
            if silent.all():
                self.flaw = "the noise readouts hold no noise; lines pass unwhitened"
                return None
            if silent.any():
                coils = ", ".join(map(str, silent.nonzero().flatten().tolist()))
                self.flaw = f"no noise came from coil {coils}; left out of all images"
            return whitening_of_others(covariance, silent, noise_scale(dwell_us, self.dwell_us, bandwidth))
        except ValueError as error:
            raise ScanError(f"NoiseAdjustGadget: {error}") from error

    def _holds_an_echo(self) -> bool:
        """Whether readouts of one length are not as strong at any time; short ones tell nothing."""
        shapes = {readout.shape for readout in self.readouts}
        if len(shapes) > 1 or self.readouts[0].shape[-1] < PARTS:
            return False
        return not is_steady(torch.from_numpy(np.stack(self.readouts, axis=1)))


def noise_scale(dwell_us: float, noise_dwell_us: float, bandwidth: float) -> float:
    """Scale √(2·dwell/noise dwell·bandwidth): noise SD 1 per component, for lines sampled at another rate than noise.

    The receiver filter passes only the part `bandwidth` of the noise band. Where a header lacks one of the dwell times
    the scale is 1, as in the stock gadget: noise SD is then not 1, but the coils are still whitened.
    """
    if not (0 < dwell_us < inf and 0 < noise_dwell_us < inf):
        log.warning("NoiseAdjustGadget: dwell times of line and noise are %g and %g us, expected above 0; "
                    "noise is whitened, but not scaled", dwell_us, noise_dwell_us)  # fmt: skip
        return 1.0
    return sqrt(2 * dwell_us / noise_dwell_us * bandwidth)
