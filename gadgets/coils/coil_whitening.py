"""Coils whose noise is equal and uncorrelated, also where no noise scan has made them so."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from gadgets.coils.per_slice import PerSlice
from gadgets.coils.recombined import recombined
from gadgets.encoding import Encoding
from gadgets.gadget import Gadget
from gadgets.items import Calibration, ReconBuffer
from kband_core.coil_noise import calibration_whitening, unequal_coils
from kband_core.coils import compress


@dataclass
class CoilWhitening(Gadget):
    """Whiten the coils by the noise that their calibration lines show, slice by slice: it then has SD 1 in each.

    Coils that a noise scan has whitened are only scaled, and so are those of which too few lines tell. What combines
    coils gives the image the brightness of those that came; of coils ten times as noisy as others it says so, for gains
    that changed after a noise scan shade the image. It stands before `CoilCompression`, which would mix loud
    coils with others. Without calibration lines coils pass as they are.
    """

    accepts: ClassVar[tuple[type, ...]] = (Calibration, ReconBuffer)
    emits: ClassVar[tuple[type, ...]] = (Calibration, ReconBuffer)

    def process(self, items: Iterable[Calibration | ReconBuffer]) -> Iterator[Calibration | ReconBuffer]:
        """Whiten each item with the matrix of its own calibration lines."""
        matrices = PerSlice("CoilWhitening", _matrices)
        for item in items:
            if isinstance(item, Calibration):
                yield _whitened_calibration(item, matrices.prepare(item))
            elif item.acs is None:
                yield item
            else:
                yield _whitened(item, matrices)


def _whitened_calibration(item: Calibration, found: list[Tensor]) -> Calibration:
    return replace(item, acs=compress(item.acs, found[0])) if found else item


def _whitened(buffer: ReconBuffer, matrices: PerSlice[Tensor]) -> ReconBuffer:
    try:
        matrix = torch.stack(matrices.of(buffer))
        return replace(recombined(buffer, matrix), problems=(*buffer.problems, *_unequal(matrix)))
    except (ValueError, RuntimeError) as error:
        return replace(buffer, problems=(*buffer.problems, f"CoilWhitening: {error}"))


def _unequal(matrices: Tensor) -> list[str]:
    """What is to be said of coils whose noise differs too much, of the first slice that has any."""
    found = [unequal for unequal in map(unequal_coils, matrices) if unequal]
    return [f"noise of coil {loud} is {ratio:.0f} times that of coil {quiet}" for loud, quiet, ratio in found[:1]]


def _matrices(acs: Tensor, encoding: Encoding, matrix: tuple[int, int]) -> list[Tensor]:
    """For ACS `(slice, z, coil, ky, kx)` one matrix `(coil, coil)` per slice."""
    return [calibration_whitening(lines) for lines in acs]
