"""Unrolled reconstruction: a denoiser and data consistency in turn."""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from kband_core.device import in_bfloat16
from kband_core.networks.blocks import Multiscale, ResNet
from kband_core.networks.consistency import agree
from kband_core.operators import EncodingOperator
from kband_core.scaling import relative_level

RANGES = {"unrolls": (1, 64), "blocks": (1, 64), "channels": (1, 1024), "kernel": (1, 31), "wide": (1, 1024),
          "cg_iterations": (1, 200), "weight": (1e-9, 100.0)}  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """What a MoDL may be told.

    `denoiser` "resnet" is the k-band paper's, `blocks`, `channels` and `kernel` its size; "multiscale" is the small
    one, with `wide` channels on its lower scale. `shared`: one for all `unrolls`, as in the paper, or one for each;
    multiscale ones of their own may take the features of the one before, `remembers`. `weight`: λ before training, at
    every noise level; `cg_iterations`: steps of each solution. x starts from the regularised SENSE image, or from Aᴴy
    with `start` "adjoint", as in the paper. `bf16`: the convolutions alone compute in bfloat16, if the device has
    instructions for it. Raises `ValueError`, one sentence.
    """

    unrolls: int = 7
    denoiser: Literal["resnet", "multiscale"] = "resnet"
    blocks: int = 6
    channels: int = 64
    kernel: int = 7
    wide: int = 80
    shared: bool = True
    cg_iterations: int = 10
    weight: float = 0.05
    start: Literal["sense", "adjoint"] = "adjoint"
    bf16: bool = False
    remembers: bool = False

    def __post_init__(self) -> None:
        for name, (least, most) in RANGES.items():
            if not least <= getattr(self, name) <= most:
                raise ValueError(f"modl: {name} is {getattr(self, name)}, {least:g} to {most:g} expected")
        if self.start not in ("sense", "adjoint"):
            raise ValueError(f"modl: no start '{self.start}'; starts are sense, adjoint")
        if self.denoiser not in ("resnet", "multiscale"):
            raise ValueError(f"modl: no denoiser '{self.denoiser}'; denoisers are resnet, multiscale")
        if self.remembers and (self.shared or self.denoiser != "multiscale"):
            raise ValueError("modl: remembers needs multiscale denoisers, one for each unroll: shared must be false")

    def denoisers(self) -> nn.ModuleList:
        """Make the denoisers, one or one for each unroll."""
        if self.denoiser == "resnet":
            size = self.blocks, self.channels, self.kernel
            return nn.ModuleList(ResNet(*size) for _ in range(self.n_denoisers))
        size = self.channels, self.wide, self.blocks
        return nn.ModuleList(Multiscale(*size, remembers=self.remembers and n > 0) for n in range(self.n_denoisers))

    @property
    def n_denoisers(self) -> int:
        return 1 if self.shared else self.unrolls


@dataclass(frozen=True)
class Unrolled:
    """Planes between two unrolls: what was measured, the image sets `(b, set, y, x)`, and the features so far."""

    operator: EncodingOperator
    noise: Tensor
    adjoint: Tensor
    image: Tensor
    memory: Tensor | None


class Modl(nn.Module):
    """MoDL: repeat z = D(x), x = argmin ‖Ax − y‖² + λ‖x − z‖².

    λ = softplus(a + b ln σ) is learned, one for each D, with σ the noise level. Its settings are `Settings`.

    Aggarwal, Mani and Jacob, MoDL, IEEE TMI 38:394 (2019).
    """

    __signature__ = inspect.signature(Settings)  # which `networks.build` reads
    waits_for_nothing = True  # on a GPU, so that its kernels can be recorded

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        told = Settings(**settings)
        self.unrolls, self.start, self.bf16 = told.unrolls, told.start, told.bf16
        self.cg_iterations = told.cg_iterations
        self.denoisers = told.denoisers()
        inverse_softplus = math.log(math.expm1(told.weight))
        self.weight = nn.Parameter(torch.full((told.n_denoisers,), inverse_softplus))
        self.weight_by_noise = nn.Parameter(torch.zeros(told.n_denoisers))

    def forward(self, kspace: Tensor, operator: EncodingOperator, noise: Tensor) -> Tensor:
        """Reconstruct `(b, coil, ky, kx)` to `(b, set, y, x)`."""
        return self.unroll(self.begin(kspace, operator, noise), range(self.unrolls)).image

    def begin(self, kspace: Tensor, operator: EncodingOperator, noise: Tensor) -> Unrolled:
        """Return what the first unroll starts from."""
        adjoint = operator.adjoint(kspace)
        begun = Unrolled(operator, noise, adjoint, adjoint, None)
        if self.start == "sense":
            image = self._agree(begun, torch.zeros_like(adjoint), self._weight(0, noise))
            begun = replace(begun, image=image)
        return begun

    def unroll(self, at: Unrolled, unrolls: range) -> Unrolled:
        """Go on from `at` through those of the unrolls, by number; one may stop between any two."""
        support = at.operator.csm.abs().sum(-3) > 0  # without maps nothing is measured, and nothing may be invented
        with torch.autocast(at.image.device.type, enabled=False):  # around the loop: shared weights are converted once
            for unroll in unrolls:
                which = min(unroll, len(self.denoisers) - 1)
                denoised, memory = self._denoised(self.denoisers[which], at.image, at.noise, at.memory)
                image = self._agree(at, denoised * support, self._weight(which, at.noise))
                at = replace(at, image=image, memory=memory)
        return at

    def weights_of(self, unrolls: Sequence[int]) -> dict[str, Tensor]:
        """Return the weights of some of the unrolls, by number, as a shorter network of these alone has them.

        Raises `ValueError` for one that has no weights of its own.
        """
        for unroll in unrolls:
            if not 0 <= unroll < len(self.denoisers):
                last = len(self.denoisers) - 1
                raise ValueError(f"modl: no unroll {unroll} with weights of its own, 0 to {last} expected")
        weights = {name: getattr(self, name)[list(unrolls)] for name in ("weight", "weight_by_noise")}
        for place, unroll in enumerate(unrolls):
            weights |= {f"denoisers.{place}.{name}": each for name, each in self.denoisers[unroll].state_dict().items()}
        return weights

    def _agree(self, at: Unrolled, denoised: Tensor, weight: Tensor) -> Tensor:
        return agree(at.operator, at.adjoint, denoised, weight, n_iterations=self.cg_iterations)

    def _denoised(
        self, denoiser: nn.Module, image: Tensor, noise: Tensor, memory: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        n_sets = image.shape[1]
        with in_bfloat16(image.device, self.bf16):
            denoised, memory = denoiser(image.flatten(0, 1), noise.repeat_interleave(n_sets), memory)
        return denoised.unflatten(0, (-1, n_sets)), memory

    def _weight(self, which: int, noise: Tensor) -> Tensor:
        weight = nn.functional.softplus(self.weight[which] + self.weight_by_noise[which] * relative_level(noise))
        return weight[:, None, None, None]
