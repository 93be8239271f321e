"""The network of the k-band paper as its code computes it: fp32, no fusion, autograd through every CG step.

What `kband_speed.py` measures ours against. Written from the paper and a description of its code, not copied: 2-D
centred transforms with all their shifts, λ an unconstrained parameter, two CG runs in each unroll, each of up to ten
steps from the image before it, stopped by a comparison on the host.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from kband_core.operators import GridOperator

STOP = 1e-8  # of max ‖r‖²
RUNS, STEPS = 2, 10


class PublishedModl(nn.Module):
    """MoDL with the paper's ResNet; the parts of `denoiser` are named as those of `kband_core.networks.blocks.ResNet`.

    `steps`: CG steps of each of the two runs. Takes what our networks take, and returns `(b, set, y, x)`.

    Wang et al., K-band, arXiv 2308.02958.
    """

    def __init__(self, *, unrolls: int = 7, blocks: int = 6, weight: float = 1e-3, steps: int = STEPS) -> None:
        super().__init__()
        self.unrolls, self.steps = unrolls, steps
        self.denoiser = PublishedResNet(blocks)
        self.weight = nn.Parameter(torch.tensor(weight))

    def forward(self, kspace: Tensor, operator: GridOperator, noise: Tensor) -> Tensor:
        """Reconstruct `(b, coil, ky, kx)`; `noise` is not used."""
        mask, csm = operator.sampling.mask.unsqueeze(-3), operator.csm
        csm_conj = csm.conj()

        def adjoint(samples: Tensor) -> Tensor:
            return (csm_conj * inverse_transform(mask * samples).unsqueeze(1)).sum(2)

        def normal(image: Tensor) -> Tensor:
            return adjoint(mask * transform((csm * image.unsqueeze(2)).sum(1))) + self.weight * image

        start = image = adjoint(kspace)
        for _ in range(self.unrolls):
            channels = torch.view_as_real(image.flatten(0, 1)).permute(0, 3, 1, 2).contiguous()
            channels = self.denoiser(channels).permute(0, 2, 3, 1).contiguous()
            right = start + self.weight * torch.view_as_complex(channels).view_as(image)
            for _ in range(RUNS):
                image = conjugate_gradient(normal, image, right, self.steps)
        return image


class PublishedResNet(nn.Module):
    """The paper's denoiser on `(b, 2, y, x)`."""

    def __init__(self, blocks: int) -> None:
        super().__init__()
        widths = [2, *[64] * (blocks - 1), 2]
        self.blocks = nn.ModuleList(Block(*pair, last=n == blocks - 1) for n, pair in enumerate(pairwise(widths)))

    def forward(self, x: Tensor) -> Tensor:
        features = x
        for block in self.blocks:
            features = block(features)
        return x + features


class Block(nn.Module):
    """ReLU–conv–ReLU–conv and a skip."""

    def __init__(self, n_in: int, n_out: int, *, last: bool) -> None:
        super().__init__()
        n_between, self.last = max(n_in, n_out), last
        self.first = nn.Conv2d(n_in, n_between, 7, padding=3, padding_mode="reflect", bias=False)
        self.second = nn.Conv2d(n_between, n_out, 7, padding=3, padding_mode="reflect", bias=False)
        self.skip = nn.Identity() if n_in == n_out else nn.Conv2d(n_in, n_out, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        between = self.first(torch.relu(x))
        return self.skip(x) + self.second(between if self.last else torch.relu(between))


def transform(image: Tensor) -> Tensor:
    dims = (-2, -1)
    return torch.fft.fftshift(torch.fft.fft2(torch.fft.ifftshift(image, dims), norm="ortho"), dims)


def inverse_transform(kspace: Tensor) -> Tensor:
    dims = (-2, -1)
    return torch.fft.fftshift(torch.fft.ifft2(torch.fft.ifftshift(kspace, dims), norm="ortho"), dims)


def conjugate_gradient(normal, x: Tensor, b: Tensor, steps: int) -> Tensor:
    residual = direction = b - normal(x)
    energy = inner(residual, residual)
    for _ in range(steps):
        if float(energy.detach().max()) < STOP:
            break
        applied = normal(direction)
        alpha = energy / inner(direction, applied)
        x = x + alpha * direction
        residual = residual - alpha * applied
        energy, previous = inner(residual, residual), energy
        direction = residual + energy / previous * direction
    return x


def inner(a: Tensor, b: Tensor) -> Tensor:
    return (a.conj() * b).real.sum((-3, -2, -1), keepdim=True)
