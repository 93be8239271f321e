"""Shots become a buffer: stacked, moved where their gradients led, weighed, and calibrated by their centre."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from gadgets.encoding import Encoding
from gadgets.errors import ScanError
from gadgets.items import ReconBuffer
from gadgets.line_count import LineCount
from gadgets.mrd import ismrmrd
from gadgets.receiving.delay_correction import SPOKES, DelayCorrection
from gadgets.receiving.shot import Shot
from gadgets.receiving.stack_of_shots import planes_of, whole_stacks
from kband_core.central_kspace import central_kspace, covered_extent
from kband_core.density import iterative_density, radial_density, spiral_density
from kband_core.sampling import Trajectory

EDGE = 0.5  # cycles per pixel


class _Placed(NamedTuple):
    """Shots `(coil, shot, sample)`, of stacks `(coil, z, shot, sample)`, where they lie, and what is to be said."""

    kspace: Tensor
    sampling: Trajectory
    problems: list[str]
    notes: dict[str, str]


@dataclass(frozen=True)
class ShotBuffers:
    """Makes buffers of shots; at most `acs_lines` squared samples of the centre calibrate each."""

    acs_lines: int
    delays: DelayCorrection

    def of(
        self, shots: Sequence[Shot], encoding: Encoding, count: LineCount, problems: Sequence[str],
        header: ismrmrd.AcquisitionHeader | None = None, acs: Tensor | None = None,
    ) -> ReconBuffer:  # fmt: skip
        """Return the buffer of an image, with the header of its middle shot, and calibrated by itself, if not by `acs`.

        Raises `ScanError` if most samples lie beyond the recon matrix's k-space.
        """
        header = header or shots[len(shots) // 2].header
        placed = self._placed(shots, encoding)
        if acs is None:
            try:
                acs = self._calibration(placed, encoding)
            except ValueError as error:
                problems = [*problems, str(error)]
        headers, counts = np.empty((1, 1, 1), object), np.empty((1, 1, 1), object)
        headers[0, 0, 0], counts[0, 0, 0] = header, count
        return ReconBuffer(
            kspace=placed.kspace[None, None, None],
            sampling=placed.sampling[None, None, None],
            headers=headers,
            counts=counts,
            encoding=encoding,
            readout=(0, placed.kspace.shape[-1]),
            acs=acs,
            problems=tuple(filter(None, (*problems, *placed.problems, encoding.flaw))),
            notes=placed.notes,
        )

    def calibration(self, shots: Sequence[Shot], encoding: Encoding) -> Tensor | None:
        """Return what shots tell of the coils, `(slice, z, coil, ky, kx)`, for images of others; None if nothing."""
        placed = self._placed(shots, encoding)
        try:
            return self._calibration(placed, encoding)
        except ValueError:  # the image meets it again, and says so
            return None

    def _calibration(self, placed: _Placed, encoding: Encoding) -> Tensor:
        shape, kspace, sampling = encoding.image_grid, placed.kspace, placed.sampling
        covered = covered_extent(sampling.coords, shape, min(self.acs_lines, *shape))
        planes = kspace[None] if kspace.ndim == 3 else kspace.movedim(1, 0)
        return torch.stack([central_kspace(plane, sampling, shape, (covered, covered)) for plane in planes])[None]

    def _placed(self, shots: Sequence[Shot], encoding: Encoding) -> _Placed:
        y, x = encoding.image_grid
        number, problems = shots[0].header.idx.slice, []
        if encoding.encoded_matrix[2] > 1:
            stacks, problems = whole_stacks(shots, encoding)
            shots, kspace = [stack[0] for stack in stacks], planes_of(stacks, encoding)
            plane = kspace[:, kspace.shape[1] // 2]
        else:
            plane = kspace = torch.stack([shot.data for shot in shots], 1)
        coords = torch.stack([shot.coords for shot in shots])
        coords, notes = self.delays.corrected((encoding.index, number), plane, coords, (y, x))
        density = _density(shots, encoding, coords)
        inside = (coords.abs() <= EDGE).all(-1).all(0)
        if 2 * int(inside.sum()) < len(inside):
            raise ScanError(
                f"slice {number}: {len(inside) - int(inside.sum())} of {len(inside)} samples of a "
                f"shot lie beyond the k-space of the {y} × {x} recon matrix, less than half expected"
            )
        return _Placed(kspace[..., inside], Trajectory(coords[:, inside], density[:, inside]), problems, notes)


def _density(shots: Sequence[Shot], encoding: Encoding, coords: Tensor) -> Tensor:
    given = [shot.density for shot in shots if shot.density is not None]
    if len(given) == len(shots):
        return torch.stack(given)
    if encoding.trajectory in SPOKES:
        return radial_density(coords)
    if encoding.trajectory == "spiral":
        return spiral_density(coords)
    return iterative_density(coords, encoding.image_grid)
