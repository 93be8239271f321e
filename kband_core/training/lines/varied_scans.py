"""Simulated scans that differ in where their energy lies in k-space, as patients and positions do.

Of scans that are alike one order of lines is best for all, and there is nothing to choose. These have objects of any
size and place within the field of view, detail that is washed out along a random direction, and phase that moves the
centre of k-space.
"""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor

from kband_core.active.quick_image import COILS, READOUT
from kband_core.coils import compress, compression_matrix
from kband_core.fourier import resize
from kband_core.training.simulation.procedural import procedural_kspace, ring_of_loops
from kband_core.training.simulation.random_fields import between
from kband_core.training.simulation.random_objects import FINER, random_object

NOISE = (0.002, 0.03)  # SD of the complex noise of a coil, over the brightness of the object
WASHED_OUT = 2.5  # acquired pixels, SD of the blur along one direction, at most
FEWEST, MOST = COILS, 10  # coils that are simulated
CALIBRATION = 8  # central lines that tell the virtual coils


def varied_kspace(n_lines: int, rng: torch.Generator) -> Tensor:
    """Simulate a fully sampled scan: k-space `(COILS, n_lines, READOUT)`, its energy 1."""
    shape = n_lines, n_lines
    parts = [max(round(n_lines * between(0.45, 1.0, rng)) // 2 * 2, 16) for _ in shape]
    part = _washed_out(random_object((parts[0], parts[1]), rng), rng)
    density = torch.zeros(FINER * n_lines, FINER * n_lines)
    top, left = (int(torch.randint(FINER * (n_lines - n) + 1, (), generator=rng)) for n in parts)
    density[top : top + part.shape[0], left : left + part.shape[1]] = part
    n_coils = int(torch.randint(FEWEST, MOST + 1, (), generator=rng))
    kspace = procedural_kspace(density, partial(ring_of_loops, n_coils=n_coils), rng, noise=NOISE)
    acs = resize(kspace, (CALIBRATION, READOUT))
    kspace = resize(compress(kspace, compression_matrix(acs, COILS)), (n_lines, READOUT))
    return kspace / torch.linalg.vector_norm(kspace)


def _washed_out(density: Tensor, rng: torch.Generator) -> Tensor:
    """Blur along one random direction; a third of the objects hardly."""
    width, turn = FINER * max(between(-0.5, 1, rng), 0) * WASHED_OUT, between(0, math.pi, rng)
    y, x = (torch.fft.fftfreq(n) for n in density.shape)
    along = math.cos(turn) * y[:, None] + math.sin(turn) * x
    envelope = torch.exp(-2 * (math.pi * width * along) ** 2)
    return torch.fft.ifft2(torch.fft.fft2(density) * envelope).real.clamp(min=0)
