"""Items of other coils, made of those that came: compressed or whitened ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gadgets.items import Calibration, ReconBuffer
from kband_core.coils import compress


@dataclass(frozen=True)
class Recombination:
    """Other coils of one slice, as its calibration lines want them.

    `matrix` `(virtual, coil)`; `back` `(coil, virtual)` undoes it and is small, so it stays on the CPU; `acs` `(z,
    virtual, ky, kx)` are the calibration lines, made once, so that gadgets behind know them by their memory.
    """

    matrix: Tensor
    back: Tensor
    acs: Tensor

    @classmethod
    def of(cls, acs: Tensor, matrix: Tensor, back: Tensor) -> Recombination:
        """Combine the calibration lines `(z, coil, ky, kx)`."""
        return cls(matrix, back.cpu(), compress(acs, matrix))


def recombined_calibration(item: Calibration, coils: Recombination) -> Calibration:
    """Return the same calibration of other coils: so are lines from now on, as they come."""
    coming = item.coming and item.coming.beside(item.acs)
    coming = coming and coming.made(compress, coils.matrix)
    return replace(item, acs=coils.acs, coming=coming)


def recombined(buffer: ReconBuffer, slices: Sequence[Recombination]) -> ReconBuffer:
    """Return the same buffer of other coils: k-space, calibration and held-out lines, slice by slice.

    Lines that were recombined as they came are taken as they are.
    """
    matrix, back, acs = (
        getattr(slices[0], name)[None] if len(slices) == 1 else torch.stack([getattr(one, name) for one in slices])
        for name in ("matrix", "back", "acs")
    )

    def combined(kspace: Tensor) -> Tensor:
        return torch.einsum("lvc,lsnc...->lsnv...", matrix, kspace)

    coming = buffer.coming and buffer.coming.of(buffer.kspace)
    coming = coming and coming.made(compress, matrix[0])
    kspace = combined(buffer.kspace) if coming is None else coming.kspace[None, None, None, :, None]
    held_out = buffer.held_out and (combined(buffer.held_out[0]), buffer.held_out[1])
    unmixing = back if buffer.unmixing is None else buffer.unmixing @ back
    return replace(buffer, kspace=kspace, acs=acs, held_out=held_out, unmixing=unmixing, coming=coming)
