"""Coils whose noise is equal and uncorrelated, also where no noise scan has made them so."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from gadgets.coils.per_slice import PerSlice
from gadgets.coils.sound_lines import sound_buffer, sound_calibration
from gadgets.gadget import Gadget
from gadgets.items import Calibration, ReconBuffer
from gadgets.scan import Encoding
from kband_core.coils import compress
from kband_core.noise import calibration_whitening


@dataclass
class CoilWhitening(Gadget):
    """Whiten the coils by the noise that their calibration lines show, slice by slice; images stay as bright.

    Coils pass as they are if a noise scan has whitened them, if there is no noise or no calibration, or if they are too
    many to tell, more than 22: it stands behind `CoilCompression`.
    """

    accepts: ClassVar[tuple[type, ...]] = (Calibration, ReconBuffer)
    emits: ClassVar[tuple[type, ...]] = (Calibration, ReconBuffer)

    def process(self, items: Iterable[Calibration | ReconBuffer]) -> Iterator[Calibration | ReconBuffer]:
        """Whiten each item with the matrix of its own calibration lines."""
        matrices = PerSlice("CoilWhitening", _matrices)
        for item in items:
            if isinstance(item, Calibration):
                item = sound_calibration(item)
                yield _whitened_calibration(item, matrices.prepare(item))
            elif item.acs is None:
                yield item
            else:
                yield _whitened(sound_buffer(item), matrices)


def _whitened_calibration(item: Calibration, found: list[Tensor]) -> Calibration:
    if not found or _changes_nothing(found[0]):
        return item
    return replace(item, acs=compress(item.acs, found[0]))


def _whitened(buffer: ReconBuffer, matrices: PerSlice[Tensor]) -> ReconBuffer:
    try:
        matrix = torch.stack(matrices.of(buffer))
    except (ValueError, RuntimeError) as error:
        return replace(buffer, problems=(*buffer.problems, f"CoilWhitening: {error}"))
    return buffer if _changes_nothing(matrix) else buffer.recombined(matrix)


def _changes_nothing(matrix: Tensor) -> bool:
    return torch.equal(matrix, torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device).expand_as(matrix))


def _matrices(acs: Tensor, encoding: Encoding, matrix: tuple[int, int]) -> list[Tensor]:
    """For ACS `(slice, z, coil, ky, kx)` one matrix `(coil, coil)` per slice."""
    return [calibration_whitening(lines) for lines in acs]
