"""Items of other coils, made of those that came: compressed or whitened ones."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from gadgets.items import Calibration, ReconBuffer
from kband_core.coils import compress


def recombined_calibration(item: Calibration, matrix: Tensor) -> Calibration:
    """Return the same calibration of other coils, by `matrix` `(virtual, coil)`: so are lines from now on, as they
    come."""
    coming = item.coming and item.coming.beside(item.acs)
    coming = coming and coming.made(compress, matrix)
    return replace(item, acs=compress(item.acs, matrix), coming=coming)


def recombined(buffer: ReconBuffer, matrix: Tensor, back: Tensor) -> ReconBuffer:
    """Return the same buffer of other coils, by `matrix` `(slice, virtual, coil)`: k-space, calibration and held-out
    lines. `back` `(slice, coil, virtual)` undoes it. Lines that were recombined as they came are taken as they are."""

    def combined(kspace: Tensor) -> Tensor:
        return torch.einsum("lvc,lsnc...->lsnv...", matrix, kspace)

    coming = buffer.coming and buffer.coming.of(buffer.kspace)
    coming = coming and coming.made(compress, matrix[0])
    kspace = combined(buffer.kspace) if coming is None else coming.kspace[None, None, None, :, None]
    held_out = buffer.held_out and (combined(buffer.held_out[0]), buffer.held_out[1])
    acs = compress(buffer.acs, matrix.unsqueeze(1))
    unmixing = back if buffer.unmixing is None else buffer.unmixing @ back
    return replace(buffer, kspace=kspace, acs=acs, held_out=held_out, unmixing=unmixing, coming=coming)
