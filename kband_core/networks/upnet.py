"""UP-Net: water, fat, R2* and the field, each with the error it expects, from a first fit of the echoes and context.

Two U-Nets in turn. The first mends the maps that the echoes give pixel by pixel; where it has put decay and field, the
echoes are asked again; the second has two decoders, one for the maps, one for their uncertainty. Neither sees an echo:
both are told what `projection` says, so that number and times of echoes, and the field strength, are free.

After Shih et al., Magn Reson Med 2023 (UP-Net), whose network takes six echoes at one field strength.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, pad

from kband_core.relaxometry.projection import LARGEST_R2STAR, Projection, SliceEchoes, project
from kband_core.uncertainty.laplace import positive

R2STAR_UNIT, B0_UNIT = 100.0, 50.0  # 1/s, Hz: what is 1 inside
SIGMA_UNITS = 5.0, 20.0, 10.0  # %, 1/s, Hz of a σ that is 1 inside
SMALLEST = 0.01  # σ in these units
N_TOLD, N_MAPS, N_SIGMAS = 20, 6, 3
SMOOTH = 9  # pixels over which phase and field are taken to be even
NEAR = 3  # pixels, whose mean a pixel is held against
LEAST_SD = 0.005, 0.005, 0.005, 0.005, 0.02, 0.005  # of the six maps, in their units inside
LARGEST_SD = 0.5, 0.5, 0.5, 0.5, 2.0, 1.0
MULTIPLE = 4  # of the sides that the network computes on


@dataclass(frozen=True)
class Mapped:
    """Maps `(b, y, x)`: water and fat complex, R2* in 1/s, B0 in Hz; and `sigma` `(b, 3, y, x)`, the expected absolute
    error of PDFF in %, R2* and B0.
    """

    water: Tensor
    fat: Tensor
    r2star: Tensor
    b0: Tensor
    sigma: Tensor

    def pdff(self) -> Tensor:
        """Return the share of fat in percent."""
        return 100 * share_of_fat(self.water, self.fat)


def share_of_fat(water: Tensor, fat: Tensor) -> Tensor:
    """Return |F|/(|W|+|F|)."""
    water, fat = ((one.abs().square() + 1e-8).sqrt() for one in (water, fat))
    return fat / (water + fat)


class UPNet(nn.Module):
    """Map `echoes`, of noise level `noise` and a brightness of about 1, from a first R2* and field; any size.

    `channels` at full, half and quarter resolution. The last convolutions of the maps start from zero: an untrained
    network returns what the echoes give.
    """

    def __init__(self, channels: tuple[int, int, int] = (16, 32, 48)) -> None:
        super().__init__()
        if len(channels) != 3 or not all(1 <= width <= 256 for width in channels):
            raise ValueError(f"upnet: channels {', '.join(map(str, channels))}, three of 1 to 256 expected")
        first, second, third = channels
        self.mend_encoder = _Encoder(N_TOLD, first, second, third)
        self.mend = _Decoder(first, second, third, N_MAPS)
        self.encoder = _Encoder(2 * N_TOLD, first, second, third)
        self.maps = _Decoder(first, second, third, N_MAPS)
        self.uncertainty = _Decoder(first, second, third, N_SIGMAS)
        for decoder in (self.mend, self.maps):
            nn.init.zeros_(decoder.tail.weight)
            nn.init.zeros_(decoder.tail.bias)

    def forward(self, echoes: SliceEchoes, noise: Tensor, r2star: Tensor, b0: Tensor) -> Mapped:
        """Return maps and σ; `noise` `(b,)` is the SD of real and imaginary parts, `r2star` and `b0` `(b, y, x)`."""
        height, width = b0.shape[-2:]
        found = project(echoes, r2star, b0)
        frame = _Frame.of(found, b0)
        told, sd = frame.told(found, r2star, b0, noise)
        missing = (0, -width % MULTIPLE, 0, -height % MULTIPLE)
        told, sd = (pad(one, missing, mode="replicate") for one in (told, sd))
        mended = told[:, :N_MAPS] + sd * self.mend(self.mend_encoder(told))
        _, _, r2star, b0 = frame.maps(mended[..., :height, :width])
        again, _ = frame.told(project(echoes, r2star, b0), r2star, b0, noise)
        features = self.encoder(torch.cat((pad(again, missing, mode="replicate"), told[:, N_MAPS:], mended), 1))
        best = (mended + sd * self.maps(features))[..., :height, :width]
        sigma = positive(self.uncertainty(features)[..., :height, :width], SMALLEST)
        return Mapped(*frame.maps(best), sigma * sigma.new_tensor(SIGMA_UNITS)[:, None, None])


@dataclass(frozen=True)
class _Frame:
    """What maps are told relative to: the phase of the object and the field around a pixel, both `(b, y, x)`."""

    phase: Tensor
    b0: Tensor

    @classmethod
    def of(cls, found: Projection, b0: Tensor) -> _Frame:
        together = found.water + found.fat
        around = torch.view_as_complex(_smooth(torch.view_as_real(together).movedim(-1, 1)).movedim(1, -1).contiguous())
        weight = together.abs().square().clamp(max=1.0) + 1e-4
        even = _smooth((weight * b0)[:, None])[:, 0] / _smooth(weight[:, None])[:, 0]
        return cls(torch.polar(torch.ones_like(b0), around.angle()), even)

    def told(self, found: Projection, r2star: Tensor, b0: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """What the network sees `(b, channel, y, x)`, six maps first, and how far noise moves these `(b, 6, y, x)`.

        The network corrects maps by so many of these SDs: what lies that far off its neighbours is noise to it,
        whatever the echo times.
        """
        noise = noise[:, None, None]
        water, fat = ((one * self.phase.conj()) for one in (found.water, found.fat))
        spread = [_level(one) for one in (found.sd_r2star * noise / R2STAR_UNIT, found.sd_amplitude * noise,
                                          found.left / noise, noise.expand_as(b0))]  # fmt: skip
        maps = torch.stack([
            *(part.clamp(-4, 4) for part in (water.real, water.imag, fat.real, fat.imag)),
            (r2star / R2STAR_UNIT).clamp(max=5), ((b0 - self.b0) / B0_UNIT).clamp(-8, 8),
        ], 1)  # fmt: skip
        of_amplitude, of_decay = found.sd_amplitude * noise, found.sd_r2star * noise
        sd = torch.stack([*[of_amplitude] * 4, of_decay / R2STAR_UNIT, of_decay / (2 * math.pi * B0_UNIT)], 1)
        least, largest = (sd.new_tensor(ends)[:, None, None] for ends in (LEAST_SD, LARGEST_SD))
        sd = sd.clamp(least, largest)
        beside = (maps - avg_pool2d(maps, NEAR, 1, NEAR // 2, count_include_pad=False)) / sd
        rest = torch.stack([
            (found.step_r2star / R2STAR_UNIT).clamp(-3, 3), (found.step_b0 / B0_UNIT).clamp(-3, 3),
            share_of_fat(found.water, found.fat), *spread, _level((found.water + found.fat).abs() / noise),
        ], 1)  # fmt: skip
        return torch.cat((maps, rest, beside.clamp(-5, 5)), 1), sd

    def maps(self, told: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Water, fat, R2* and the field of the six maps that the network sees or makes."""
        water, fat = (torch.complex(told[:, at].contiguous(), told[:, at + 1].contiguous()) for at in (0, 2))
        r2star = (told[:, 4] * R2STAR_UNIT).clamp(0, LARGEST_R2STAR)
        return water * self.phase, fat * self.phase, r2star, self.b0 + told[:, 5] * B0_UNIT


def _level(positive_: Tensor) -> Tensor:
    """A logarithm of what spreads over decades, of the order of 1."""
    return positive_.clamp(1e-4, 1e4).log() / math.log(10)


def _smooth(images: Tensor) -> Tensor:
    return avg_pool2d(images, SMOOTH, 1, SMOOTH // 2, count_include_pad=False)


class _Encoder(nn.Module):
    def __init__(self, n_in: int, first: int, second: int, third: int) -> None:
        super().__init__()
        self.top, self.middle, self.bottom = _twice(n_in, first), _twice(first, second), _twice(second, third)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        top = self.top(images)
        middle = self.middle(avg_pool2d(top, 2))
        return top, middle, self.bottom(avg_pool2d(middle, 2))


class _Decoder(nn.Module):
    def __init__(self, first: int, second: int, third: int, n_out: int) -> None:
        super().__init__()
        self.up_middle, self.middle = nn.ConvTranspose2d(third, second, 2, stride=2), _twice(2 * second, second)
        self.up_top, self.top = nn.ConvTranspose2d(second, first, 2, stride=2), _twice(2 * first, first)
        self.tail = nn.Conv2d(first, n_out, 1)

    def forward(self, features: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        top, middle, bottom = features
        middle = self.middle(torch.cat((self.up_middle(bottom), middle), 1))
        return self.tail(self.top(torch.cat((self.up_top(middle), top), 1)))


def _twice(n_in: int, n_out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(n_in, n_out, 3, padding=1), nn.ReLU(inplace=True),
        nn.Conv2d(n_out, n_out, 3, padding=1), nn.ReLU(inplace=True),
    )  # fmt: skip
