"""What was acquired of a plane: all of k-space, all but padding, or a part that lines were left out of already."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from kband_core.bands import band_mask
from kband_core.sampling import Grid

ABOUT_NYQUIST = 1.05  # shots of Nyquist over those acquired
MOST_UNEVEN = 0.1  # of the further end; partial Fourier leaves out a quarter of one half of k-space and more


@dataclass(frozen=True)
class Acquired:
    """`sampling` of one plane of k-space of `shape`; `band`, if it is one: its acceleration and angle.

    Along a trajectory `shape` is that of its shots and samples, and so many shots are what `nyquist` asks for.
    """

    sampling: Grid
    shape: tuple[int, int]
    band: tuple[float, float] | None = None
    nyquist: int | None = None

    @property
    def acceleration(self) -> float:
        """All lines over those acquired, or the shots of Nyquist over those acquired."""
        if self.nyquist is None:
            return self.sampling.acceleration()
        return self.nyquist / int(self.sampling.lines().sum())

    @property
    def is_gapless(self) -> bool:
        """Whether no line was left out yet: those acquired have no gap, and zeros beyond their ends are padding.

        Of shots, whether there are as many as Nyquist asks for.
        """
        if self.nyquist is not None:
            return self.band is None and self.acceleration <= ABOUT_NYQUIST
        return _fills_a_rectangle(self.full_extent().sampling)

    @property
    def has_reference(self) -> bool:
        """Whether the image of all that was acquired is one to compare with: zeros at both ends only blur it evenly.

        Of a band, and where one end lacks much more than the other (partial Fourier), it is not.
        """
        if self.nyquist is not None:
            return self.is_gapless
        if self.sampling.is_complete():
            return True
        if self.band is not None or not _fills_a_rectangle(self.sampling):
            return False
        return all(_is_even(self.sampling.mask.any(dim)) for dim in (-1, -2))

    def full_extent(self) -> Acquired:
        """Undo the limits of the band: what a scan of the same lines would have acquired over all of k-space.

        Lines that the band does not cross count as acquired, for nothing tells of them.
        """
        if self.band is None or self.nyquist is not None:
            return self
        lines = self.sampling.lines()
        crossed = band_mask(self.shape, *self.band).to(lines.device).any(-1)
        return Acquired(Grid((lines | ~crossed)[:, None]), self.shape)


def _fills_a_rectangle(sampling: Grid) -> bool:
    return sampling.is_by_lines() and all(_is_run(sampling.mask.any(dim)) for dim in (-1, -2))


def _is_run(acquired: Tensor) -> bool:
    """Whether something was acquired, and all between its first and its last."""
    where = acquired.nonzero().flatten()
    return len(where) > 0 and int(where[-1] - where[0]) + 1 == len(where)


def _is_even(acquired: Tensor) -> bool:
    """Whether a run reaches about as far on both sides of the centre; an odd number of samples cannot do so exactly."""
    where, centre = acquired.nonzero().flatten(), len(acquired) // 2
    below, above = centre - int(where[0]), int(where[-1]) + 1 - centre
    return abs(below - above) <= max(1, MOST_UNEVEN * max(below, above))
