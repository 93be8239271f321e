"""A belly of water and fat, whose k-space is exact at every echo: ellipses that decay, in a field with a slope.

Each tissue has protons, a share of fat and an R2*. The signal of an ellipse at an echo is that of its tissue less that
of the one it lies in. A field that changes evenly along x and y shifts k-space by its slope times the echo time.
Lengths are in boxes, as in `phantom`.
"""

from __future__ import annotations

import cmath
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from kband_core.phantom import Ellipse, pixel_centres
from kband_core.relaxometry.fat_model import fat_turns

# name, semi-axes (y, x), centre (y, x), angle in degrees; protons, share of fat, R2* in 1/s. Each lies in the one that
# is named last, which stands before it.
BELLY = (
    ("fat below the skin", 0.36, 0.46, 0.00, 0.00, 0.0, 0.9, 0.95, 35.0, None),
    ("bowels", 0.28, 0.38, 0.00, 0.00, 0.0, 0.8, 0.05, 30.0, "fat below the skin"),
    ("liver", 0.17, 0.18, -0.05, -0.15, 20.0, 0.8, 0.18, 45.0, "bowels"),
    ("iron in the liver", 0.05, 0.05, -0.06, -0.18, 0.0, 0.7, 0.08, 250.0, "liver"),
    ("vessel", 0.025, 0.025, -0.02, -0.06, 0.0, 0.9, 0.00, 10.0, "liver"),
    ("spleen", 0.10, 0.07, 0.02, 0.24, -15.0, 0.8, 0.01, 60.0, "bowels"),
    ("fat between the bowels", 0.09, 0.10, -0.12, 0.14, 0.0, 0.9, 0.90, 35.0, "bowels"),
    ("vertebra", 0.07, 0.08, 0.19, 0.00, 0.0, 0.6, 0.45, 120.0, "bowels"),
)


@dataclass(frozen=True)
class Field:
    """B0 in Hz: `centre`, and how it changes along y and x, per box."""

    centre: float
    along_y: float
    along_x: float


@dataclass(frozen=True)
class BellyEcho:
    """What a phantom is to its coils, at one echo: `kspace` at any k."""

    ellipses: tuple[Ellipse, ...]
    shift_y: float
    shift_x: float

    def kspace(self, ky: Tensor, kx: Tensor) -> Tensor:
        """Evaluate the Fourier integral of the object at the echo. complex64."""
        ky, kx = ky.double() - self.shift_y, kx.double() - self.shift_x
        return sum(ellipse.kspace(ky, kx) for ellipse in self.ellipses).to(torch.complex64)


def belly_echo(time_ms: float, field_t: float, field: Field) -> BellyEcho:
    """Return the belly at an echo time."""
    turn, seconds = complex(fat_turns(torch.tensor([time_ms]), field_t)[0]), time_ms * 1e-3
    field_turn, signals, ellipses = cmath.rect(1, 2 * math.pi * field.centre * seconds), {None: 0.0}, []
    for name, semi_y, semi_x, y, x, degrees, protons, share, r2star, around in BELLY:
        signals[name] = protons * (1 - share + share * turn) * math.exp(-r2star * seconds)
        size, phase = cmath.polar((signals[name] - signals[around]) * field_turn)
        ellipses.append(Ellipse(size, semi_y, semi_x, y, x, math.radians(degrees), phase))
    return BellyEcho(tuple(ellipses), field.along_y * seconds, field.along_x * seconds)


def belly_maps(shape: tuple[int, int], field: Field) -> dict[str, Tensor]:
    """Return PDFF in percent, R2* in 1/s and B0 in Hz at the pixel centres, `(y, x)` float32; 0 outside the belly."""
    y, x = pixel_centres(shape, (1.0, 1.0))
    y, x = y[:, None], x[None]
    pdff, r2star, inside = torch.zeros(shape), torch.zeros(shape), torch.zeros(shape, dtype=torch.bool)
    for _, semi_y, semi_x, y0, x0, degrees, _, share, decay, _ in BELLY:
        within = Ellipse(1.0, semi_y, semi_x, y0, x0, math.radians(degrees)).contains(y, x)
        pdff, r2star = torch.where(within, 100 * share, pdff), torch.where(within, decay, r2star)
        inside = inside | within
    b0 = (field.centre + field.along_y * y + field.along_x * x).float()
    return {"PDFF": pdff, "R2*": r2star, "B0": torch.where(inside, b0, 0.0)}
