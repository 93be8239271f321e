"""Maps of water, fat, R2* and the field from the echoes of one slice, each with its uncertainty."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from kband_core.relaxometry.echo_noise import noise_sd
from kband_core.relaxometry.fat_model import check_echoes
from kband_core.relaxometry.field_map import field_map
from kband_core.relaxometry.refinement import Fit, refine

PIXELS_AT_ONCE = 16384
LARGEST_R2STAR = 1000.0  # 1/s
UNKNOWNS = 6  # real numbers that a pixel is explained by
WINDOW = 5  # pixels, over which what is left of the echoes is averaged
LOW_SIGNAL = 5.0  # times the noise, below which the brightest echo tells nothing, and the mean echo little
SMALL_MARGIN = 30.0  # cost below which the other of water and fat may be true


@dataclass(frozen=True)
class WaterFatMaps:
    """Maps `(y, x)` of a slice. water, fat: complex, as at t = 0; r2star 1/s; b0 Hz; pdff: percent of fat.

    `sd_r2star`, `sd_b0`, `sd_pdff`: standard deviations in the same units. `no_signal`: pixels of noise alone;
    `unsure`: those, pixels that noise or what the fit leaves outweighs, and those where water and fat might be swapped.
    """

    water: Tensor
    fat: Tensor
    r2star: Tensor
    b0: Tensor
    pdff: Tensor
    sd_r2star: Tensor
    sd_b0: Tensor
    sd_pdff: Tensor
    no_signal: Tensor
    unsure: Tensor


def water_fat(echoes: Tensor, echo_times_ms: Sequence[float], field_t: float | None) -> WaterFatMaps:
    """Map water and fat from complex `echoes` `(echo, y, x)` of one slice, in any order of time.

    S(t) = (W + F·Σ a·e^{2πi f t})·e^{−R2*·t + 2πi·B0·t}, fitted pixel by pixel in a field that is smooth. Uncertainties
    are those of Cramér and Rao, by the noise of the images or, where it is more, by what the fit leaves. Fields up to
    1.5 times the shift of fat are found. Raises `ValueError` for echoes that cannot tell water from fat.
    """
    check_echoes(echo_times_ms, field_t)
    times, shape = torch.tensor(list(echo_times_ms), dtype=torch.float64), echoes.shape[1:]
    noise = noise_sd(echoes)
    start = field_map(echoes, times, field_t, noise)
    no_signal = echoes.abs().amax(0) < LOW_SIGNAL * noise
    most = torch.where(no_signal, 0.0, LARGEST_R2STAR)  # noise, drawn back to t = 0, would shine
    firsts = (x.flatten().split(PIXELS_AT_ONCE) for x in (start.b0, start.decay, most))
    fits = [
        refine(part, times, field_t, b0=b0, decay=decay, most_r2star=limit)
        for part, b0, decay, limit in zip(echoes.flatten(1).split(PIXELS_AT_ONCE, 1), *firsts, strict=True)
    ]
    left = torch.cat([fit.left for fit in fits]).view(shape)
    variance = noise_variance(left, noise, len(times))
    of_pixels = [_told(fit, one) for fit, one in zip(fits, variance.flatten().split(PIXELS_AT_ONCE), strict=True)]
    maps = {name: torch.cat([part[name] for part in of_pixels]).view(shape) for name in of_pixels[0]}
    is_weak = echoes.abs().square().mean(0).sqrt() < LOW_SIGNAL * variance.sqrt()
    unsure = no_signal | is_weak | (start.margin < SMALL_MARGIN)
    return WaterFatMaps(**maps, no_signal=no_signal, unsure=unsure)


def noise_variance(left: Tensor, noise: float, n_echoes: int) -> Tensor:
    """Return the variance of real and imaginary parts `(y, x)`: that of the noise, or of what a fit has `left` of the
    energy of a pixel and those around it, whichever is more.
    """
    variance = torch.full_like(left, noise**2)
    if (freedom := 2 * n_echoes - UNKNOWNS) <= 0:
        return variance
    around = avg_pool2d(left[None], WINDOW, 1, WINDOW // 2, count_include_pad=False)[0]
    return torch.maximum(variance, around / freedom)


def _told(fit: Fit, variance: Tensor) -> dict[str, Tensor]:
    """Amplitudes, field and decay of each pixel, and the SD of what is told, by the variance of its noise."""
    of_both = torch.linalg.inv(fit.bend + 1e-30 * torch.eye(2, dtype=fit.bend.dtype))
    size = fit.amplitudes.abs().clamp(min=1e-30)
    total = size.sum(-1)
    share = size[:, 1] / total
    towards = torch.stack((-share, 1 - share), -1) / total[:, None] * fit.amplitudes / size
    straight = (towards.conj() * torch.linalg.solve(fit.gram, towards)).sum(-1).real
    dragged = (towards.conj()[:, None] @ fit.drag).real
    sd_share = (variance * (straight + (dragged @ of_both @ dragged.mT)[:, 0, 0])).clamp(min=0).sqrt()
    sd_b0, sd_r2star = (variance[:, None] * of_both.diagonal(dim1=-2, dim2=-1)).clamp(min=0).sqrt().unbind(-1)
    real = {"r2star": fit.r2star, "b0": fit.b0, "pdff": 100 * share,
            "sd_r2star": sd_r2star, "sd_b0": sd_b0, "sd_pdff": 100 * sd_share}  # fmt: skip
    water, fat = fit.amplitudes.to(torch.complex64).unbind(-1)
    return {"water": water, "fat": fat, **{name: value.float() for name, value in real.items()}}
