"""What coil maps alone tell of the images that they will combine: known before the last line of a scan."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from kband_core.axes import check_axes
from kband_core.coils import coil_images, compress, sample_energy
from kband_core.device import send

FEW = 6  # combinations of coils, whose energy tells that of all
ALIKE = 1e-5  # of their size: coils that are combined to others of equal length and at right angles, but for rounding


@dataclass(frozen=True)
class MapsAhead:
    """What an image of maps `(..., set, coil, y, x)` needs of them beside themselves.

    few     `(..., set, combination, x, y)`: maps of few combinations of the coils, in memory line by line of y
    length  `(..., y, x)` of the coil vectors of the first set: zero where there are none
    """

    few: Tensor
    length: Tensor

    @classmethod
    def of(cls, csm: Tensor) -> MapsAhead:
        """Make it of maps."""
        check_axes(csm=(csm, "... set coil y x"))
        return cls(few_of(csm).mT.contiguous(), energy(csm[..., 0, :, :, :]).sqrt())

    def where(self, csm: Tensor) -> MapsAhead:
        """The same of maps `csm` that are these, or zero: the combinations are shared, and not looked at there."""
        return MapsAhead(self.few, energy(csm[..., 0, :, :, :]).sqrt())

    def seen(self, image: Tensor) -> Tensor:
        """What the combinations of coils see of `image` `(..., set, y, x)`; `(..., combination, x, y)`."""
        within = image * (self.length > 0).unsqueeze(-3)
        return coil_images(within.mT.contiguous(), self.few)


def shading(csm: Tensor, unmixing: Tensor | None = None, ahead: MapsAhead | None = None) -> Tensor:
    """Return how bright the coils as they came see a pixel of 1, by the first set of maps; `(..., y, x)`.

    `unmixing` `(..., coil as it came, coil)`, on the CPU. Where it only turns and scales coil vectors, as after a noise
    scan, their length tells, which may be known ahead.
    """
    first = csm[..., 0, :, :, :]
    scale = torch.ones(1, 1) if unmixing is None else _scale(unmixing)
    if scale is None:
        return energy(compress(first, send(unmixing, csm.device))).sqrt()
    return send(scale, csm.device) * (energy(first).sqrt() if ahead is None else ahead.length)


def few_of(coil_image: Tensor) -> Tensor:
    """Combine coils `(..., coil, y, x)` to few `(..., combination, y, x)` that hold all their energy on average.

    The combinations are drawn once, orthogonal, six at most: in 7 × 7 pixels they tell energy to within a tenth, and
    that of noise as well. Fewer coils stay as they are.
    """
    n_coils = coil_image.shape[-3]
    return coil_image if n_coils <= FEW else compress(coil_image, few_combinations(n_coils, coil_image.device))


def energy(coil_image: Tensor) -> Tensor:
    """Sum of squares over coils `(..., coil, y, x)`."""
    return sample_energy(coil_image).sum(-3)


def few_combinations(n_coils: int, device: torch.device) -> Tensor:
    """Return the matrix `(combination, coil)` of `few_of`."""
    return send(_drawn(n_coils), device)


@lru_cache(maxsize=64)
def _drawn(n_coils: int) -> Tensor:
    if n_coils <= FEW:
        return torch.eye(n_coils, dtype=torch.complex64)
    drawn = torch.randn(n_coils, FEW, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    return torch.linalg.qr(drawn)[0].mH.contiguous() * (n_coils / FEW) ** 0.5


def _scale(unmixing: Tensor) -> Tensor | None:
    """By how much it makes coil vectors longer, `(..., 1, 1)`; None if that is not the same for all."""
    gram = unmixing.mH @ unmixing
    square = gram.diagonal(dim1=-2, dim2=-1).real.mean(-1)[..., None, None]
    differs = gram - square * torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
    return square.sqrt() if bool((differs.abs() <= ALIKE * square).all()) else None
