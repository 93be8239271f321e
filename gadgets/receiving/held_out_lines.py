"""Lines that judge an image from outside: drawn at random, measured, and never shown to the reconstruction."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from gadgets.encoding import Encoding
from gadgets.items import ReconBuffer
from gadgets.mrd import ismrmrd
from gadgets.receiving.kspace_lines import KSpaceLines
from gadgets.receiving.place import Place
from kband_core.fourier import to_kspace
from kband_core.quality import held_out_nmse


class HeldOutLines:
    """The held-out lines of one image while they arrive, and how many lines each of them stands for."""

    def __init__(self, encoding: Encoding, n_coils: int, n_samples: int) -> None:
        self._lines = KSpaceLines(encoding, n_coils, n_samples)
        self._weight = np.zeros(self._lines.counts.shape, np.float32)

    def add(self, line: ismrmrd.Acquisition, place: Place) -> None:
        """Add a line; `flaw` must have found none."""
        self._lines.add(line, place)
        self._weight[place] = 1 / line.user_float[0]

    def move(self, n_rows: int) -> None:
        """Move them with the image's own lines."""
        self._lines.move(n_rows)
        self._weight = np.roll(self._weight, n_rows, axis=1)

    def pair(self) -> tuple[Tensor, Tensor]:
        """Return k-space [slice s n coil kz ky kx], zero where no line is, and weights [slice s n kz ky]."""
        return self._lines.averaged()[None, None, None], torch.from_numpy(self._weight)[None, None, None]


def flaw(line: ismrmrd.Acquisition) -> str | None:
    """Say why a held-out line can judge nothing, or None."""
    if not 0 < line.user_float[0] <= 1:
        return f"it is held out with probability {line.user_float[0]:g} (user_float[0]), above 0 to 1 expected"
    return None


def judge(coil_image: Tensor, buffer: ReconBuffer) -> dict[str, str]:
    """Return what the held-out lines of a single image say of it, for its meta; nothing where they cannot.

    `coil_image` `(z, coil, y, x)` is what the coils of the buffer see of it, on the encoded grid. It takes one
    partition. The noise of the lines does not count where its SD is known, that is, 1; what is left of it is told.
    """
    if buffer.held_out is None or len(coil_image) > 1:
        return {}
    measured, weight = (part[0, 0, 0] for part in buffer.held_out)
    within = buffer.measured_readout()
    noise = 0.0 if buffer.unmixing is None else 1.0
    found = held_out_nmse(
        to_kspace(coil_image) * within, measured.movedim(1, 0), weight.unsqueeze(-1) * within, noise=noise
    )
    figures = torch.cat([(weight > 0).sum().reshape(1), *found.interval(), found.nmse, found.floor])
    n_lines, low, high, nmse, floor = figures.tolist()
    if not n_lines:  # those of another image of the same buffer
        return {}
    return {
        "kband_nmse_estimate": f"{nmse:.5f}", "kband_nmse_interval": f"{low:.5f} to {high:.5f}",
        "kband_held_out_lines": f"{n_lines:.0f}", **({"kband_nmse_floor": f"{floor:.5f}"} if noise else {}),
    }  # fmt: skip
