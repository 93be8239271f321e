"""How loud noise is in an image, told by its calibration lines while the scan still runs."""

from __future__ import annotations

import torch
from torch import Tensor

from gadgets.coils.per_slice import PerSlice
from gadgets.encoding import Encoding
from gadgets.items import Calibration, ReconBuffer
from kband_core.fourier import resize
from kband_core.noise import noise_level
from kband_core.noise_windows import CENTRAL


class NoiseAhead:
    """Noise of planes is told from their central lines: where calibration lines are these, it is known before them."""

    def __init__(self) -> None:
        self._levels = PerSlice("NoiseAhead", _levels)

    def prepare(self, calibration: Calibration) -> None:
        """Tell the noise of lines that may be the centre of an image.

        Not those of planes (kz, ky), whose lines are longer than calibration ones.
        """
        holds_centre = calibration.acs.shape[-2] >= min(CENTRAL, calibration.matrix[0])
        if holds_centre and not (calibration.turned or calibration.encoding.calibrates_apart):
            self._levels.prepare(calibration)

    def of(self, buffer: ReconBuffer) -> Tensor:
        """SD of a sample of each plane of a single image `(z,)`. Raises `ValueError` as `noise_level` does."""
        kspace, sampling = buffer.planes()
        if sampling.shape[-1] == 1 and _has_centre(buffer):
            return self._levels.of(buffer)[0]
        return noise_level(kspace, sampling.mask)


def _has_centre(buffer: ReconBuffer) -> bool:
    """Whether the central lines of a single image are those of its calibration, all acquired."""
    if buffer.acs is None:
        return False
    kspace, acs = buffer.planes()[0], buffer.acs[0]
    n_central = min(CENTRAL, kspace.shape[-2])
    return acs.shape[-2] >= n_central and torch.equal(*(resize(each, [n_central], dims=[-2]) for each in (kspace, acs)))


def _levels(acs: Tensor, encoding: Encoding, matrix: tuple[int, int]) -> list[Tensor]:
    """Of ACS `(slice, z, coil, ky, kx)`, the level `(z,)` of each slice."""
    everywhere = torch.ones(1, acs.shape[-2], 1, dtype=torch.bool, device=acs.device)
    return [noise_level(lines, everywhere) for lines in acs]
