"""A buffer of other coils, made of those that came: compressed or whitened ones."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from gadgets.items import ReconBuffer
from kband_core.coils import compress


def recombined(buffer: ReconBuffer, matrix: Tensor, back: Tensor) -> ReconBuffer:
    """Return the same buffer of other coils, by `matrix` `(slice, virtual, coil)`: k-space, calibration and held-out
    lines. `back` `(slice, coil, virtual)` undoes it."""

    def combined(kspace: Tensor) -> Tensor:
        return torch.einsum("lvc,lsnc...->lsnv...", matrix, kspace)

    held_out = buffer.held_out and (combined(buffer.held_out[0]), buffer.held_out[1])
    acs = compress(buffer.acs, matrix.unsqueeze(1))
    unmixing = back if buffer.unmixing is None else buffer.unmixing @ back
    return replace(buffer, kspace=combined(buffer.kspace), acs=acs, held_out=held_out, unmixing=unmixing)
