"""Coils whose noise is equal and uncorrelated, also where no noise scan has made them so."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from gadgets.coils.per_slice import PerSlice
from gadgets.coils.recombined import Recombination, recombined, recombined_calibration
from gadgets.encoding import Encoding
from gadgets.gadget import Gadget
from gadgets.items import Calibration, ReconBuffer
from kband_core.coil_noise import calibration_whitening, unequal_coils
from kband_core.device import send


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
        whitenings = PerSlice("CoilWhitening", _of_slices)
        for item in items:
            if isinstance(item, Calibration):
                yield _whitened_calibration(item, whitenings.prepare(item))
            elif item.acs is None:
                yield item
            else:
                yield _whitened(item, whitenings)


class _Whitening(NamedTuple):
    """What whitens a slice, and which coils are too unequal, if any: all known before the image."""

    coils: Recombination
    unequal: tuple[int, int, float] | None

    @classmethod
    def of(cls, acs: Tensor) -> _Whitening:
        matrix = calibration_whitening(acs)
        back = torch.linalg.pinv(matrix.to(torch.complex128)).to(matrix.dtype)
        return cls(Recombination.of(acs, send(matrix, acs.device), back), unequal_coils(matrix))


def _whitened_calibration(item: Calibration, found: list[_Whitening]) -> Calibration:
    return recombined_calibration(item, found[0].coils) if found else item


def _whitened(buffer: ReconBuffer, whitenings: PerSlice[_Whitening]) -> ReconBuffer:
    try:
        found = whitenings.of(buffer)
        of_slices = [one.coils for one in found]
        return replace(recombined(buffer, of_slices), problems=(*buffer.problems, *_unequal(found)))
    except (ValueError, RuntimeError) as error:
        return replace(buffer, problems=(*buffer.problems, f"CoilWhitening: {error}"))


def _unequal(whitenings: list[_Whitening]) -> list[str]:
    """What is to be said of coils whose noise differs too much, of the first slice that has any."""
    found = [one.unequal for one in whitenings if one.unequal]
    return [f"noise of coil {loud} is {ratio:.0f} times that of coil {quiet}" for loud, quiet, ratio in found[:1]]


def _of_slices(acs: Tensor, encoding: Encoding, matrix: tuple[int, int]) -> list[_Whitening]:
    """For ACS `(slice, z, coil, ky, kx)` one for each slice."""
    return [_Whitening.of(lines) for lines in acs]
