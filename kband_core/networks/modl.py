"""Unrolled reconstruction: a denoiser and data consistency in turn."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from kband_core.device import in_bfloat16
from kband_core.networks.blocks import Multiscale, ResNet, relative_level
from kband_core.networks.consistency import Solve, agree, by_conjugate_gradient
from kband_core.networks.decoupled import DecoupledSense
from kband_core.operators import Sense


class Modl(nn.Module):
    """MoDL: repeat z = D(x), x = argmin ‖Ax − y‖² + λ‖x − z‖².

    `denoiser` "resnet" is the k-band paper's, `blocks`, `channels` and `kernel` its size; "multiscale" is the small
    one, with `wide` channels on its lower scale. `shared`: one D for all unrolls, as in the paper, or one for each;
    multiscale ones of their own may take the features of the D before, `remembers`. λ = softplus(a + b ln σ) is
    learned, one for each D, and starts at `weight` for every noise level σ. x starts from the regularised SENSE image,
    or from Aᴴy with `start` "adjoint", as in the paper. `solver` "exact", for masks of whole lines, ignores
    `cg_iterations`. `bf16`: the convolutions alone compute in bfloat16, if the
    device has instructions for it.

    Aggarwal, Mani and Jacob, MoDL, IEEE TMI 38:394 (2019).
    """

    def __init__(
        self,
        unrolls: int = 7,
        denoiser: Literal["resnet", "multiscale"] = "resnet",
        blocks: int = 6,
        channels: int = 64,
        kernel: int = 7,
        wide: int = 80,
        shared: bool = True,
        cg_iterations: int = 10,
        weight: float = 0.05,
        start: Literal["sense", "adjoint"] = "adjoint",
        solver: Literal["cg", "exact"] = "cg",
        bf16: bool = False,
        remembers: bool = False,
    ) -> None:
        super().__init__()
        if unrolls < 1 or cg_iterations < 1 or weight <= 0:
            raise ValueError(
                f"modl: {unrolls} unrolls of {cg_iterations} CG iterations at weight {weight:g}; all must be positive"
            )
        if start not in ("sense", "adjoint"):
            raise ValueError(f"modl: no start '{start}'; starts are sense, adjoint")
        if solver not in ("cg", "exact"):
            raise ValueError(f"modl: no solver '{solver}'; solvers are cg, exact")
        if remembers and (shared or denoiser != "multiscale"):
            raise ValueError("modl: remembers needs multiscale denoisers, one for each unroll: shared must be false")
        self.unrolls, self.cg_iterations, self.start, self.bf16 = unrolls, cg_iterations, start, bf16
        self.solver = solver
        n_denoisers = 1 if shared else unrolls
        makers = {
            "resnet": lambda first: ResNet(blocks, channels, kernel),
            "multiscale": lambda first: Multiscale(channels, wide, blocks, remembers=remembers and not first),
        }
        if denoiser not in makers:
            raise ValueError(f"modl: no denoiser '{denoiser}'; denoisers are {', '.join(makers)}")
        self.denoisers = nn.ModuleList(makers[denoiser](n == 0) for n in range(n_denoisers))
        inverse_softplus = math.log(math.expm1(weight))
        self.weight = nn.Parameter(torch.full((n_denoisers,), inverse_softplus))
        self.weight_by_noise = nn.Parameter(torch.zeros(n_denoisers))

    def forward(self, kspace: Tensor, mask: Tensor, csm: Tensor, noise: Tensor) -> Tensor:
        """Reconstruct `(b, coil, ky, kx)` to `(b, set, y, x)`."""
        operator = Sense(csm, mask)
        solve = self._solve(operator, csm, mask)
        adjoint = operator.adjoint(kspace)
        support = csm.abs().sum(-3) > 0  # where there are no maps nothing is measured, and nothing may be invented
        image = adjoint
        if self.start == "sense":
            image = agree(operator, adjoint, torch.zeros_like(adjoint), self._weight(0, noise), solve)
        with torch.autocast(image.device.type, enabled=False):  # around the loop: shared weights are converted once
            memory = None
            for unroll in range(self.unrolls):
                which = min(unroll, len(self.denoisers) - 1)
                denoised, memory = self._denoised(self.denoisers[which], image, noise, memory)
                image = agree(operator, adjoint, denoised * support, self._weight(which, noise), solve)
        return image

    def _solve(self, operator: Sense, csm: Tensor, mask: Tensor) -> Solve:
        if self.solver == "exact":
            return DecoupledSense(csm, mask).solve
        return by_conjugate_gradient(operator, self.cg_iterations)

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
