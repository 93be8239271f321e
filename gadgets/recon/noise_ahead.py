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

        Not those of planes (kz, ky), whose lines are longer than calibration ones; on a GPU nobody asks.
        """
        apart = calibration.turned or calibration.encoding.calibrates_apart
        if calibration.acs.device.type == "cpu" and not apart:
            self._levels.prepare(calibration)

    def of(self, buffer: ReconBuffer) -> Tensor:
        """SD of a sample of each plane of a single image `(z,)`. Raises `ValueError` as `noise_level` does."""
        kspace, sampling = buffer.planes()
        whole_lines = sampling.shape[-1] == 1
        if buffer.acs is not None and whole_lines and _has_centre(kspace, buffer.acs[0]):
            return self._levels.of(buffer)[0]
        return noise_level(kspace, sampling.mask)


def _has_centre(kspace: Tensor, acs: Tensor) -> bool:
    """Whether the central lines of `kspace` `(z, coil, ky, kx)` are those of `acs`, all acquired."""
    if kspace.device.type != "cpu" or acs.shape[-2] < min(CENTRAL, kspace.shape[-2]):
        return False
    return torch.equal(*(resize(each, [min(CENTRAL, kspace.shape[-2])], dims=[-2]) for each in (kspace, acs)))


def _levels(acs: Tensor, encoding: Encoding, matrix: tuple[int, int]) -> list[Tensor]:
    """Of ACS `(slice, z, coil, ky, kx)`, the level `(z,)` of each slice."""
    everywhere = torch.ones(1, acs.shape[-2], 1, dtype=torch.bool, device=acs.device)
    return [noise_level(lines, everywhere) for lines in acs]
