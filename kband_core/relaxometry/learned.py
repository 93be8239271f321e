"""Maps of water, fat, R2* and the field by a trained network, which mends what the echoes alone give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from kband_core.relaxometry.echo_noise import noise_sd
from kband_core.relaxometry.fat_model import check_echoes
from kband_core.relaxometry.field_map import FieldMap, field_map
from kband_core.relaxometry.projection import SliceEchoes, project, stepped
from kband_core.relaxometry.water_fat import LOW_SIGNAL, SMALL_MARGIN, WaterFatMaps, noise_variance
from kband_core.uncertainty.reliability import Reliability

BRIGHT = 0.98  # of all pixels are darker than what is 1 to the network
N_STEPS = 2  # of decay and field, from the smooth field, before the network
OUT_OF_100 = 10.0  # percent of fat: where the network expects a larger error of PDFF, it is unsure
SD = 2**0.5  # of Laplace's law, over its expected absolute error, which is what the network says
QUANTITIES = "PDFF", "R2*", "B0"  # in the order of the network's σ


@dataclass(frozen=True)
class Start:
    """What the network begins with: one slice's `echoes`, as bright as it expects, `noise` `(1,)`, and a first R2* and
    field `(1, y, x)`; `scale` `(1,)` is how many times brighter they are than they came.
    """

    echoes: SliceEchoes
    noise: Tensor
    r2star: Tensor
    b0: Tensor
    scale: Tensor
    field: FieldMap


def start_of(signal: Tensor, echo_times_ms: Sequence[float], field_t: float) -> Start:
    """Find the smooth field of echoes `(echo, y, x)`, and follow each pixel from there. Raises `ValueError`."""
    check_echoes(echo_times_ms, field_t)
    noise = noise_sd(signal)
    field = field_map(signal, torch.tensor(list(echo_times_ms), dtype=torch.float64), field_t, noise)
    bright = signal.abs().amax(0).flatten()
    scale = 1 / bright.kthvalue(max(round(BRIGHT * len(bright)), 1)).values.clamp(min=1e-30)[None]
    echoes = SliceEchoes.of([(signal, echo_times_ms, field_t)]).times(scale)
    r2star, b0 = stepped(echoes, field.decay[None], field.b0[None], N_STEPS)
    return Start(echoes, noise * scale, r2star, b0, scale, field)


@torch.no_grad()
def water_fat_network(
    signal: Tensor,
    echo_times_ms: Sequence[float],
    field_t: float,
    network: nn.Module,
    reliability: Mapping[str, Reliability],
) -> WaterFatMaps:
    """Map water and fat as `relaxometry.water_fat` does, by a network; SDs are those of Laplace's law with the
    absolute error that the network expects, corrected by the `reliability` of each quantity.

    `unsure` is what the fit would be unsure of, by the same bounds, and where the network expects an error of more than
    10 % of fat. Raises `ValueError` for echoes that cannot tell water from fat.
    """
    start = start_of(signal, echo_times_ms, field_t)
    mapped = network(start.echoes, start.noise, start.r2star, start.b0)
    if not all(bool(torch.isfinite(one).all()) for one in (mapped.pdff(), mapped.r2star, mapped.b0, mapped.sigma)):
        raise ValueError("the network's maps are not finite")
    sigma = dict(zip(QUANTITIES, mapped.sigma[0], strict=True))
    sigma = {name: reliability[name].calibrated(one) if name in reliability else one for name, one in sigma.items()}
    shown, noise = start.echoes.signal[0].abs(), float(start.noise)
    left = project(start.echoes, mapped.r2star, mapped.b0).left[0]
    variance = noise_variance(left.square() * len(signal), noise, len(signal))
    no_signal = shown.amax(0) < LOW_SIGNAL * noise
    is_weak = shown.square().mean(0).sqrt() < LOW_SIGNAL * variance.sqrt()
    return WaterFatMaps(
        water=mapped.water[0] / start.scale, fat=mapped.fat[0] / start.scale, r2star=mapped.r2star[0],
        b0=mapped.b0[0], pdff=mapped.pdff()[0], no_signal=no_signal,
        sd_pdff=SD * sigma["PDFF"], sd_r2star=SD * sigma["R2*"], sd_b0=SD * sigma["B0"],
        unsure=no_signal | is_weak | (start.field.margin < SMALL_MARGIN) | (sigma["PDFF"] > OUT_OF_100),
    )  # fmt: skip
