"""Shots of which some were measured: where they lie, how much each sample counts, how bright and how noisy they are.

All arrays may have leading batch axes; shots may be any trajectory.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

CENTRAL = 12  # cycles per field of view: the radius of the disc that tells brightness
RIM = 0.5  # cycles per pixel
LEAST_RADIUS = 1 / 512  # cycles per pixel: what the centre counts, which all spokes share
MOST_FILLED = 0.8  # of the band of a readout, by the field of view; the rest holds noise alone


@dataclass(frozen=True)
class Shots:
    """Where the samples of shots lie, and the weight of each: 0 where nothing was measured.

    `coords` float32 `(..., shot, sample, 2)` in cycles per pixel, ky before kx; `weight` float32 `(..., shot, sample)`.
    Other than of a `Trajectory`, those of several planes can be stacked, though others were measured in each.
    """

    coords: Tensor
    weight: Tensor

    def to(self, device: torch.device) -> Shots:
        """Return the same shots on `device`."""
        return Shots(self.coords.to(device), self.weight.to(device))


def even_weight(coords: Tensor) -> Tensor:
    """Weight samples by the fourth root of their distance from the centre, 1 at the rim: float32 `(..., shot, sample)`.

    Its square, which counts in least squares, lies halfway between that of white noise, for which they converge slowly
    since all spokes meet in the centre, and even density. It does not depend on how many spokes there are.
    """
    radius = torch.linalg.vector_norm(coords, dim=-1)
    return (radius.clamp(min=LEAST_RADIUS) / RIM).pow(0.25)


def shots_scale(kspace: Tensor, coords: Tensor, density: Tensor, csm: Tensor) -> Tensor:
    """Return the RMS brightness of the low-resolution image where there are maps: divide k-space by it; `(...)`.

    It is told from the energy of a disc of 24 samples across, and by the mean of the samples in it, so that spokes of a
    sector, or a few of all, tell the same: `kspace` `(..., coil, shot, sample)`, `coords` `(..., shot, sample, 2)`,
    `density` `(..., shot, sample)`, 0 where nothing was measured, `csm` `(..., set, coil, y, x)`. Raises `ValueError`
    if there is no signal.
    """
    shape = torch.tensor(csm.shape[-2:], device=coords.device)
    central = density * (torch.linalg.vector_norm(coords * shape, dim=-1) <= CENTRAL)
    energy = torch.view_as_real(kspace).square().sum((-1, -4))
    mean = (central * energy).sum((-2, -1)) / central.sum((-2, -1))
    n_pixels = csm.any(-3).any(-3).sum((-2, -1))
    scale = (math.pi * CENTRAL**2 * mean / n_pixels).sqrt()
    if not (scale > 0).all():
        raise ValueError("scale: the centre of k-space holds no signal, or NaN")
    return scale


def shots_noise(kspace: Tensor, coords: Tensor, shape: tuple[int, int]) -> Tensor:
    """Estimate the SD of the complex noise of a sample of one coil, from what lies beside the field of view; `(...)`.

    Samples of a readout lie closer than the field of view asks for: in its spectrum, that of a spoke being a projection
    of the object, the ends hold noise alone. The median of the shots of `kspace` `(..., coil, shot, sample)` counts.
    Raises `ValueError` where the readout is not oversampled, or k-space holds nothing.
    """
    step = torch.linalg.vector_norm(torch.diff(coords, dim=-2) * torch.tensor(shape, device=coords.device), dim=-1)
    filled = float(step.max())
    if not filled <= MOST_FILLED:
        raise ValueError(
            f"noise level: samples lie {filled:.2f} of the field of view's distance apart, {MOST_FILLED} at most needed"
        )
    n_samples = kspace.shape[-1]
    window = torch.hann_window(n_samples, periodic=False, device=kspace.device)
    spectrum = torch.fft.fft(kspace * window, norm="ortho")
    outside = torch.fft.fftfreq(n_samples, device=kspace.device).abs() > filled / 2 + 2 / n_samples
    energy = torch.view_as_real(spectrum[..., outside]).square().sum(-1).mean((-3, -1)) / window.square().mean()
    return energy.median(-1).values.sqrt()
