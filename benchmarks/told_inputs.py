"""What a network might be told besides image and noise level, as maps `(b, channel, y, x)` of its encoding operator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, avg_pool2d, interpolate, pad, pixel_unshuffle

from kband_core.fourier import resize
from kband_core.networks import Modl
from kband_core.operators import EncodingOperator
from kband_core.solvers import solve_normal

COARSE = 32  # pixels across the grid on which coils are compared
PROBE_WEIGHT, PROBE_STEPS, PROBE_WINDOW = 0.02, 5, 9

Tells = Callable[[EncodingOperator], Tensor]


class Told(Modl):
    """MoDL whose denoisers get maps besides, by a convolution that starts from zero: untrained, it changes nothing."""

    def __init__(self, tells: Tells, n_maps: int, **settings: Any) -> None:
        super().__init__(**settings)
        self.tells = tells
        for denoiser in self.denoisers:
            denoiser.head = _ToldHead(n_maps, denoiser.head)

    def forward(self, kspace: Tensor, operator: EncodingOperator, noise: Tensor) -> Tensor:
        maps = self.tells(operator).repeat_interleave(operator.csm.shape[1], 0)
        missing = (0, -maps.shape[-1] % 4, 0, -maps.shape[-2] % 4)
        maps = pixel_unshuffle(pad(maps, missing, mode="replicate"), 2)
        for denoiser in self.denoisers:
            denoiser.head.maps = maps
        return super().forward(kspace, operator, noise)


class _ToldHead(nn.Conv2d):
    """The convolution that it stands for, whose weights keep their names."""

    def __init__(self, n_maps: int, head: nn.Conv2d) -> None:
        super().__init__(head.in_channels, head.out_channels, head.kernel_size, padding=head.padding)
        self.maps: Tensor | None = None
        self.told = nn.Conv2d(4 * n_maps, head.out_channels, 3, padding=1)
        nn.init.zeros_(self.told.weight)
        nn.init.zeros_(self.told.bias)

    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features) + self.told(self.maps)


def acceleration(operator: EncodingOperator) -> Tensor:
    """Two constant maps: ln of the acceleration, and of how many lines around the centre are complete, over 16."""
    mask = operator.sampling.mask
    line = mask[..., mask.shape[-1] // 2]
    centre = line.shape[-1] // 2
    n_central = sum(side.long().cumprod(-1).sum(-1) for side in (line[:, :centre].flip(-1), line[:, centre:]))
    constants = torch.stack([-mask.float().mean((-2, -1)).log(), (n_central.clamp(min=1) / 16).log()], 1)
    return constants[..., None, None].expand(-1, -1, *operator.csm.shape[-2:])


def overlap(operator: EncodingOperator) -> Tensor:
    """ln of what folds onto a pixel and is seen alike by the coils: diag((AᴴA)²) over that without any folding.

    diag((AᴴA)²)(r) = Σ_r' |p(r − r')|² |S(r)ᴴ S(r')|² with the point spread p of the mask: coil by coil a convolution
    with |p|², of which smooth maps feel low frequencies alone. So a coarse grid suffices; no random numbers, no CG.
    """
    mask, csm = operator.sampling.mask.float(), operator.csm
    by_lines = mask.shape[-1] == 1
    grid = [min(COARSE, n) for n in csm.shape[-2:]]
    parts = torch.view_as_real(csm).movedim(-1, -3).flatten(1, -3)
    pooled = adaptive_avg_pool2d(parts, grid).unflatten(1, (*csm.shape[1:3], 2)).movedim(-3, -1).contiguous()
    maps = torch.view_as_complex(pooled)
    gram = torch.einsum("bscyx,bsdyx->bcdyx", maps, maps.conj())
    spread = torch.fft.ifft2(mask).abs().square()
    central = torch.fft.fftshift(torch.fft.fft2(spread).real, (-2,) if by_lines else (-2, -1))
    central = resize(central, grid[:1], dims=[-2]) if by_lines else resize(central, grid)
    central = torch.fft.ifftshift(central, (-2,) if by_lines else (-2, -1))[:, None, None]
    folded = torch.fft.ifft2(torch.fft.fft2(gram) * central)
    energy = (folded * gram.conj()).real.sum((1, 2))
    strength = torch.einsum("bccyx->byx", gram).real.clamp(min=1e-3)
    ratio = energy / (strength * mask.mean((-2, -1))[:, None, None].square())
    return interpolate(ratio.clamp(min=1).log().unsqueeze(1), csm.shape[-2:], mode="bilinear")


def unknown(operator: EncodingOperator) -> Tensor:
    """ln of the energy of a random image, pixel by pixel, that CG-SENSE does not bring back: what lines cannot know.

    λ(AᴴA + λ)⁻¹ of an image of random phase, its energy averaged over 9 × 9 pixels, over that of the image.
    """
    mapped = (operator.csm != 0).any(-3)
    turn = torch.rand(mapped.shape[1:], generator=torch.Generator().manual_seed(0)).to(mapped.device)
    probe = torch.polar(torch.ones_like(turn), 6.2832 * turn) * mapped
    left = probe - solve_normal(operator, operator.normal(probe), PROBE_WEIGHT, PROBE_STEPS)
    energies = [part.abs().square().sum(1, keepdim=True) for part in (left, probe)]
    lost, there = (avg_pool2d(one, PROBE_WINDOW, 1, PROBE_WINDOW // 2, count_include_pad=False) for one in energies)
    return (lost / there.clamp(min=1e-2)).clamp(1e-3, 1).log()
