"""Planes of noise, on which a computation is tried out ahead of a scan's images."""

from __future__ import annotations

import logging

import torch
from torch import Tensor

from gadgets.items import Calibration
from kband_core.device import send
from kband_core.sampling import Grid

log = logging.getLogger(__name__)

SMALL = (32, 32)  # the CPU is slow at the first run of a process, whatever its shape; a GPU at the first of each shape


def small_plane(calibration: Calibration) -> tuple[torch.device, int, tuple[int, int]]:
    """Return device, coils and matrix of the noise on which a network is tried out ahead of a scan's images."""
    device = calibration.acs.device
    return device, calibration.acs.shape[-3], SMALL if device.type == "cpu" else calibration.matrix


def noise_planes(device: torch.device, n_coils: int, matrix: tuple[int, int]) -> tuple[Tensor, Grid, Tensor]:
    """Make k-space, sampling and maps of a plane of which nothing but noise was measured."""
    rng = torch.Generator().manual_seed(0)
    kspace = send(torch.randn(1, n_coils, *matrix, dtype=torch.complex64, generator=rng), device)
    sampling = Grid(torch.ones(1, matrix[0], 1, dtype=torch.bool, device=device))
    csm = torch.full((1, 1, n_coils, *matrix), n_coils**-0.5, dtype=torch.complex64, device=device)
    return kspace, sampling, csm


def say(problem: str | None) -> None:
    """Log why what was tried out cannot be recorded on the GPU, if it cannot."""
    if problem:
        log.warning("cannot be recorded on the GPU, and starts more slowly: %s", problem)
