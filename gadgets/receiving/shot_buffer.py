"""Shots become a buffer: stacked, moved where their gradients led, weighed, and calibrated by their centre."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gadgets.encoding import Encoding
from gadgets.errors import ScanError
from gadgets.items import LineCount, ReconBuffer
from gadgets.mrd import ismrmrd
from gadgets.receiving.delay_correction import SPOKES, DelayCorrection
from kband_core.density import iterative_density, radial_density, spiral_density
from kband_core.fourier import resize, to_kspace
from kband_core.nufft import adjoint_nufft
from kband_core.sampling import Trajectory

EDGE = 0.5  # cycles per pixel


@dataclass(frozen=True)
class Shot:
    """What was measured `(coil, sample)` complex64, where `(sample, 2)`, and its density, if the scanner told it."""

    data: Tensor
    coords: Tensor
    density: Tensor | None
    header: ismrmrd.AcquisitionHeader


@dataclass(frozen=True)
class ShotBuffers:
    """Makes buffers of shots; `acs_lines` squared samples of the gridded coil images calibrate each."""

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
        kspace, coords, density, notes = self._placed(shots, encoding)
        headers, counts = np.empty((1, 1, 1), object), np.empty((1, 1, 1), object)
        headers[0, 0, 0], counts[0, 0, 0] = header, count
        return ReconBuffer(
            kspace=kspace[None, None, None],
            sampling=Trajectory(coords[None, None, None], density[None, None, None]),
            headers=headers,
            counts=counts,
            encoding=encoding,
            readout=(0, kspace.shape[-1]),
            acs=self._calibration(kspace, coords, density, encoding) if acs is None else acs,
            problems=tuple(filter(None, (*problems, encoding.flaw))),
            notes=notes,
        )

    def calibration(self, shots: Sequence[Shot], encoding: Encoding) -> Tensor:
        """Return what shots tell of the coils, `(slice, z, coil, ky, kx)`, for images of others."""
        return self._calibration(*self._placed(shots, encoding)[:3], encoding)

    def _calibration(self, kspace: Tensor, coords: Tensor, density: Tensor, encoding: Encoding) -> Tensor:
        shape = encoding.recon_matrix[1::-1]
        n_acs = [min(self.acs_lines, n) for n in shape]
        return resize(to_kspace(adjoint_nufft(kspace * density, coords, shape)), n_acs)[None, None]

    def _placed(
        self, shots: Sequence[Shot], encoding: Encoding
    ) -> tuple[Tensor, Tensor, Tensor, dict[str, str]]:
        """K-space `(coil, shot, sample)`, coordinates, density, and notes on these."""
        x, y, _ = encoding.recon_matrix
        number = shots[0].header.idx.slice
        coords = torch.stack([shot.coords for shot in shots])
        kspace = torch.stack([shot.data for shot in shots], 1)
        coords, notes = self.delays.corrected((encoding.index, number), kspace, coords, (y, x))
        density = _density(shots, encoding, coords)
        inside = (coords.abs() <= EDGE).all(-1).all(0)
        if 2 * int(inside.sum()) < len(inside):
            raise ScanError(
                f"slice {number}: {len(inside) - int(inside.sum())} of {len(inside)} samples of a "
                f"shot lie beyond the k-space of the {y} × {x} recon matrix, less than half expected"
            )
        return kspace[..., inside], coords[:, inside], density[:, inside], notes


def _density(shots: Sequence[Shot], encoding: Encoding, coords: Tensor) -> Tensor:
    given = [shot.density for shot in shots if shot.density is not None]
    if len(given) == len(shots):
        return torch.stack(given)
    if encoding.trajectory in SPOKES:
        return radial_density(coords)
    if encoding.trajectory == "spiral":
        return spiral_density(coords)
    return iterative_density(coords, (encoding.recon_matrix[1], encoding.recon_matrix[0]))
