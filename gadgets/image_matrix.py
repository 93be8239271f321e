"""On which matrix the images of a buffer are made."""

from __future__ import annotations

from gadgets.items import ReconBuffer
from kband_core.sampling import Grid


def image_matrix(buffer: ReconBuffer) -> tuple[int, int]:
    """Return (y, x): that of the k-space on a grid; along a trajectory, whose samples have none, that of its images."""
    if isinstance(buffer.sampling, Grid):
        return buffer.kspace.shape[-2], buffer.kspace.shape[-1]
    return buffer.encoding.image_grid
