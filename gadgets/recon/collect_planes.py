"""Planes to train on: what the scanner's own chain holds before it reconstructs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from gadgets.errors import PipelineError, ScanError
from gadgets.gadget import Gadget
from gadgets.items import Calibration, ReconBuffer, TrainingPlane
from gadgets.mrd import ismrmrd
from gadgets.scan import Scan
from kband_core.bands import band_mask
from kband_core.plural import counted
from kband_core.sampling import Trajectory
from kband_core.shot_angles import shot_angles


@dataclass
class CollectPlanes(Gadget):
    """Emit every plane of a scan with its coil maps, for `kband prepare` to write down; no image is made.

    A rotated band is taken from Cartesian k-space whose header names it: `userParameterDouble` `band_angle`, degrees
    as in `kband_core.bands`, and `band_acceleration`; samples outside it do not count as acquired. Bands that a
    scanner acquired by turning its readout (blades) lie in a frame of their own, in which every band has the angle 0;
    no network may take that frame for the patient's, so a scan whose readout turns is refused.
    """

    accepts: ClassVar[tuple[type, ...]] = (Calibration, ReconBuffer)
    emits: ClassVar[tuple[type, ...]] = (TrainingPlane,)

    def open(self, scan: Scan) -> None:
        """Read from the header whether the scan is a band. Raises `PipelineError` if only half of it is told."""
        self._band = band_of(scan)

    def process(self, items: Iterable[Calibration | ReconBuffer]) -> Iterator[TrainingPlane]:
        """Emit the planes of each image. Raises `ScanError` where one cannot be trained on."""
        readouts: dict[tuple[int, int], np.ndarray] = {}
        for item in items:
            if isinstance(item, Calibration):
                continue
            for index, line in np.ndenumerate(item.headers):
                if line is None:
                    raise ScanError(f"CollectPlanes: image {index} (slice, s, n) of the buffer received no line")
                first = readouts.setdefault((line.encoding_space_ref, line.idx.slice), np.array(line.read_dir))
                if not np.allclose(first, line.read_dir, atol=1e-3):
                    raise ScanError(
                        f"CollectPlanes: the readout of slice {line.idx.slice} turns during the scan; blades are not "
                        "supported, only bands of Cartesian k-space"
                    )
                yield from self._planes(item.single(index), line)

    def _planes(self, buffer: ReconBuffer, line: ismrmrd.AcquisitionHeader) -> Iterator[TrainingPlane]:
        who, count = f"CollectPlanes: slice {line.idx.slice}", buffer.counts[0, 0, 0]
        if buffer.csm is None:
            reason = buffer.problems[-1] if buffer.problems else "no CoilSensitivities before"
            raise ScanError(f"{who} has no coil maps, so no plane can be trained on ({reason})")
        if count.complete is False:
            raise ScanError(f"{who} has {count} lines; a scan that lost lines is not trained on")
        if isinstance(buffer.sampling, Trajectory):
            yield self._along(buffer, line)
            return
        try:
            kspace, sampling = buffer.planes()
            kspace, mask = kspace.cpu(), sampling.mask[0].cpu()
            if self._band is not None:
                mask = mask & band_mask(kspace.shape[-2:], *self._band)
        except ValueError as error:
            raise ScanError(f"{who}: {error}") from error
        csm = buffer.csm[0].cpu()
        _check_finite(who, kspace, csm)
        angle = self._band and self._band[1]
        for z, plane in enumerate(kspace * mask):
            yield TrainingPlane(
                plane, mask, csm[z], line.idx.slice * len(kspace) + z, line.idx.contrast, line.idx.repetition, angle
            )

    def _along(self, buffer: ReconBuffer, line: ismrmrd.AcquisitionHeader) -> TrainingPlane:
        """The plane of a trajectory: all its shots were acquired, in a sector if the header names its angle."""
        there = torch.device("cpu")
        kspace, csm = buffer.kspace[0, 0, 0].to(there), buffer.csm[0, 0].to(there)
        who, sampling = f"CollectPlanes: slice {line.idx.slice}", buffer.sampling[0, 0, 0].to(there)
        _check_finite(who, kspace, csm)
        try:
            shot_angles(sampling.coords)
        except ValueError as error:
            raise ScanError(f"{who}: {error}; no supervision is for such shots") from error
        mask = torch.ones(kspace.shape[1], 1, dtype=torch.bool)
        return TrainingPlane(
            kspace, mask, csm, line.idx.slice, line.idx.contrast, line.idx.repetition, self._band and self._band[1],
            sampling,
        )  # fmt: skip


def _check_finite(who: str, kspace: Tensor, csm: Tensor) -> None:
    for name, array in (("k-space", kspace), ("the coil maps", csm)):
        if n_broken := int((~torch.isfinite(torch.view_as_real(array))).sum()):
            found = counted(n_broken, f"number of {name} is", f"numbers of {name} are")
            raise ScanError(f"{who}: {found} not finite")


def band_of(scan: Scan) -> tuple[float, float] | None:
    """Return acceleration and angle of the band that a scan is, or None. Raises `PipelineError` for half a band."""
    parameters = scan.header.userParameters
    given = {each.name: each.value for each in parameters.userParameterDouble} if parameters else {}
    acceleration, angle = (given.get(name) for name in ("band_acceleration", "band_angle"))
    if (acceleration is None) != (angle is None):
        raise PipelineError("CollectPlanes: the header must name both band_angle and band_acceleration, or neither")
    return None if acceleration is None else (acceleration, angle)
