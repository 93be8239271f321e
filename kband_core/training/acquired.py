"""What was acquired of a plane: all of k-space, all but padding, or a part that lines were left out of already."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from kband_core.bands import band_mask

MOST_UNEVEN = 0.1  # of the further end; partial Fourier leaves out a quarter of one half of k-space and more


@dataclass(frozen=True)
class Acquired:
    """`mask` `(ky, kx)` or `(ky, 1)`, of k-space of `shape`; `band`, if it is one: its acceleration and angle."""

    mask: Tensor
    shape: tuple[int, int]
    band: tuple[float, float] | None = None

    @property
    def is_gapless(self) -> bool:
        """Whether no line was left out yet: those acquired have no gap, and zeros beyond their ends are padding."""
        return _fills_a_rectangle(self.full_extent().mask)

    @property
    def has_reference(self) -> bool:
        """Whether the image of all that was acquired is one to compare with: zeros at both ends only blur it evenly.

        Of a band, and where one end lacks much more than the other (partial Fourier), it is not.
        """
        if bool(self.mask.all()):
            return True
        if self.band is not None or not _fills_a_rectangle(self.mask):
            return False
        return all(_is_even(self.mask.any(dim)) for dim in (-1, -2))

    def full_extent(self) -> Acquired:
        """Undo the limits of the band: what a scan of the same lines would have acquired over all of k-space.

        Lines that the band does not cross count as acquired, for nothing tells of them.
        """
        if self.band is None:
            return self
        crossed = band_mask(self.shape, *self.band).to(self.mask.device).any(-1)
        return Acquired((self.mask.any(-1) | ~crossed)[:, None], self.shape)

    def is_by_lines(self) -> bool:
        """Whether whole lines were acquired, of the same extent along the readout."""
        return bool(torch.equal(self.mask, self.mask.any(-1, keepdim=True) & self.mask.any(-2, keepdim=True)))

    def acceleration(self) -> float:
        """Return all lines over those acquired; where these differ in extent, all samples over those acquired."""
        acquired = self.mask.any(-1) if self.is_by_lines() else self.mask
        return acquired.numel() / max(int(acquired.sum()), 1)

    def central_lines(self, most: int) -> int:
        """Count the adjacent lines around the centre of k-space, of a block of `most` there."""
        line = self.mask[:, self.mask.shape[-1] // 2]
        centre = len(line) // 2
        below, above = line[:centre].flip(0)[: most // 2], line[centre:][: most - most // 2]
        return sum(int(side.cumprod(0).sum()) for side in (below, above))


def _fills_a_rectangle(mask: Tensor) -> bool:
    rows, columns = mask.any(-1), mask.any(-2)
    if not (_is_run(rows) and _is_run(columns)):
        return False
    return bool(torch.equal(mask, rows[:, None] & columns))


def _is_run(acquired: Tensor) -> bool:
    """Whether something was acquired, and all between its first and its last."""
    where = acquired.nonzero().flatten()
    return len(where) > 0 and int(where[-1] - where[0]) + 1 == len(where)


def _is_even(acquired: Tensor) -> bool:
    """Whether a run reaches about as far on both sides of the centre; an odd number of samples cannot do so exactly."""
    where, centre = acquired.nonzero().flatten(), len(acquired) // 2
    below, above = centre - int(where[0]), int(where[-1]) + 1 - centre
    return abs(below - above) <= max(1, MOST_UNEVEN * max(below, above))
