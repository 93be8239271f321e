"""What every method is, and what it makes: the contract between methods and who runs them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor

from gadgets.errors import ScanError
from gadgets.items import Calibration, ReconBuffer


class Map(Protocol):
    """A map of some quantity that is still to be computed, since no image waits for a map."""

    def compute(self) -> Tensor:
        """Compute the map, real `(z, y, x)` on the encoded grid. Raises `ValueError` if it cannot be."""


@dataclass(frozen=True)
class Reconstruction:
    """What a method made of a single image.

    image  complex64 `(z, y, x)` on the encoded grid; along a trajectory on that of the recon space
    maps   by the name of the quantity
    notes  meta key to text; that of `ImageComments` is added to the comment
    sets   of a method that goes by maps: one image for each set of them, `(z, set, y, x)`, of which `image` is made
    coil_image  what coils see of it, `(z, coil, y, x)`: what held-out lines are compared with, or None
    """

    image: Tensor
    maps: Mapping[str, Map] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)
    sets: Tensor | None = None
    coil_image: Tensor | None = None


class Method(Protocol):
    """A way to make images: a value with properties of its own, and with what calibrations have taught it so far.

    `label`: what the image will say made it. `fills_one_side`: whether it has learnt to fill what a scan left out on
    one side of k-space, better than a phase can tell.
    """

    label: str
    fills_one_side: bool = False

    def prepare(self, calibration: Calibration) -> None:
        """Do ahead of the image what calibration lines allow; what fails here, the image meets again and says."""

    def reconstruct(self, buffer: ReconBuffer) -> Reconstruction:
        """Make the image of a buffer that holds a single one. Raises what `reconstructor.FAILURES` lists."""


class Refusal(ScanError):
    """This image must not be made, by this method or by another."""


def maps_of(buffer: ReconBuffer) -> Tensor:
    """Return the maps `(z, set, coil, y, x)` of a single image. Raises `ValueError`, saying why there are none."""
    if buffer.csm is None:
        none = "no coil maps: CoilSensitivities is missing before it"
        raise ValueError(buffer.problems[-1] if buffer.problems else none)
    return buffer.csm[0]
