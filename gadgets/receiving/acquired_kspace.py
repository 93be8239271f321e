"""K-space of an image as a grid holds it, whichever way its buffer keeps it."""

from __future__ import annotations

import torch
from torch import Tensor

from gadgets.items import ReconBuffer
from gadgets.receiving.turned import join_x
from kband_core.fourier import to_kspace


def acquired_kspace(buffer: ReconBuffer) -> Tensor:
    """Return the k-space `(coil, kz, ky, kx)` of a single image on a grid, zero where nothing was acquired.

    Calibration lines that serve the image stand in rows that have no line of their own.
    """
    kspace = buffer.kspace[0, 0, 0]
    if buffer.turned:
        return join_x(kspace)
    if buffer.acs is None or buffer.acs_row is None:
        return kspace
    rows = slice(buffer.acs_row, buffer.acs_row + buffer.acs.shape[-2])
    acs, kspace = to_kspace(buffer.acs[0].movedim(0, 1), dims=(-3,)), kspace.clone()
    missing = ~buffer.sampling.mask[0, 0, 0].any(0).any(-1)[rows]
    kspace[..., rows, :] = torch.where(missing[:, None], acs, kspace[..., rows, :])
    return kspace
