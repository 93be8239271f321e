"""Lines that judge an image from outside: drawn at random, measured, and never shown to the reconstruction."""

from __future__ import annotations

import ismrmrd
import numpy as np
import torch
from torch import Tensor

from gadgets.items import ReconBuffer
from gadgets.receiving.kspace_lines import KSpaceLines, position
from gadgets.scan import Encoding
from kband_core.losses import predicted_kspace
from kband_core.quality import held_out_nmse


class HeldOutLines:
    """The held-out lines of one image while they arrive, and how many lines each of them stands for."""

    def __init__(self, encoding: Encoding, shape: tuple[int, int, int, int]) -> None:
        n_coils, kz, ky, n_samples = shape
        self._lines = KSpaceLines(encoding, n_coils, n_samples)
        self._weight = np.zeros((kz, ky), np.float32)

    def add(self, line: ismrmrd.Acquisition) -> None:
        """Add a line; `flaw` must have found none."""
        self._lines.add(line)
        row, partition = position(self._lines.encoding, line)
        self._weight[partition, row] = 1 / line.user_float[0]

    def pair(self) -> tuple[Tensor, Tensor]:
        """Return k-space [slice s n coil kz ky kx], zero where no line is, and weights [slice s n kz ky]."""
        return self._lines.averaged()[None, None, None], torch.from_numpy(self._weight)[None, None, None]


def flaw(line: ismrmrd.Acquisition) -> str | None:
    """Say why a held-out line can judge nothing, or None."""
    if not 0 < line.user_float[0] <= 1:
        return f"it is held out with probability {line.user_float[0]:g} (user_float[0]), above 0 to 1 expected"
    return None


def judge(image: Tensor, buffer: ReconBuffer) -> dict[str, str]:
    """Return what the held-out lines of a single image say of it, for its meta; nothing where they cannot.

    `image` `(z, y, x)` on the encoded grid. It takes one set of maps, to tell what every coil would have measured, and
    one partition.
    """
    if buffer.held_out is None or buffer.csm is None or buffer.csm.shape[2] > 1 or len(image) > 1:
        return {}
    measured, weight = (part[0, 0, 0] for part in buffer.held_out)
    if not weight.any():  # those of another image of the same buffer
        return {}
    samples = slice(*buffer.readout)
    predicted = predicted_kspace(image.unsqueeze(1), buffer.csm[0])[..., samples]
    nmse = held_out_nmse(predicted, measured.movedim(1, 0)[..., samples], weight.unsqueeze(-1)).nmse
    return {"kband_nmse_estimate": f"{float(nmse):.5f}", "kband_held_out_lines": str(int((weight > 0).sum()))}
