"""KIKI-net: k-space and image take turns, each with a plain chain of convolutions."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from kband_core.coils import combine
from kband_core.device import in_bfloat16
from kband_core.fourier import to_image
from kband_core.networks.blocks import to_channels, to_complex
from kband_core.networks.consistency import replace_measured
from kband_core.operators import EncodingOperator, predicted_kspace
from kband_core.sampling import Grid

MOST_LETTERS, MOST_LAYERS, MOST_CHANNELS = 16, 64, 1024


class Kiki(nn.Module):
    """Networks in the `order` of its letters, "k" on k-space, "i" on the image; measured samples take their place
    again after each "i", and after each "k" that no "i" follows.

    Each is `layers` convolutions 3 × 3 of `channels`, with leaky ReLU between, and adds its last one to what came in.
    "k" sees the k-space of one coil at a time, all coils by the same weights, multiplied by the distance from the
    centre: it has no scale of its own there, and the centre would drown the rest. "i" sees the coil combination. So
    of one coil it is the published network, but for the residual of "k", that weight, and its size (25 layers of 64).

    Of `trained` "last" only the last letter's weights change: stage by stage, as published, "k" is trained first, then
    "ki" with the weights of "k", and so on; a training `pretrained` with a shorter order takes its weights. "all"
    trains end to end. `bf16`: the convolutions alone compute in bfloat16, if the device has instructions for it.

    Eo et al., KIKI-net, MRM 80:2188 (2018); several coils are ours.
    """

    def __init__(
        self, order: str = "kiki", layers: int = 25, channels: int = 64, trained: str = "all", bf16: bool = False
    ) -> None:
        super().__init__()
        if not order or len(order) > MOST_LETTERS or set(order) - {"k", "i"}:
            raise ValueError(f"kiki: order is '{order}', 1 to {MOST_LETTERS} letters k and i expected, such as kiki")
        if not (2 <= layers <= MOST_LAYERS and 1 <= channels <= MOST_CHANNELS):
            raise ValueError(
                f"kiki: {layers} layers of {channels} channels, 2 to {MOST_LAYERS} of 1 to {MOST_CHANNELS} expected"
            )
        if trained not in ("all", "last"):
            raise ValueError(f"kiki: trained is '{trained}', all or last expected")
        self.order, self.bf16 = order, bf16
        self.parts = nn.ModuleList(_chain(layers, channels) for _ in order)
        if trained == "last":
            self.parts[:-1].requires_grad_(requires_grad=False)

    def forward(self, kspace: Tensor, operator: EncodingOperator, noise: Tensor) -> Tensor:
        """Reconstruct `(b, coil, ky, kx)` to `(b, set, y, x)`; sets are treated one by one. Raises `ValueError` for
        samples along a trajectory if a "k" is in the order.
        """
        if "k" in self.order and not isinstance(operator.sampling, Grid):
            raise ValueError(f"kiki: order {self.order} needs samples on a grid, but they lie along a trajectory")
        image, coils = operator.adjoint(kspace), kspace
        support = operator.csm.abs().sum(-3) > 0  # without maps nothing is measured, and nothing may be invented
        for place, (letter, part) in enumerate(zip(self.order, self.parts, strict=True), 1):
            if letter == "k":
                image = combine(to_image(coils + self._change_of_kspace(part, coils)), operator.csm)
            else:
                image = support * (image + self._change(part, image))
            if self.order[place - 1 : place + 1] != "ki":  # there it is left to the "i"
                coils, image = self._measured(image, kspace, operator)
        return image

    def _measured(self, image: Tensor, kspace: Tensor, operator: EncodingOperator) -> tuple[Tensor, Tensor]:
        """Let measured samples take their place: k-space of the coils, for a "k", and the image."""
        if "k" not in self.order:
            return kspace, replace_measured(image, kspace, operator)
        coils = torch.where(operator.sampling.mask.unsqueeze(-3), kspace, predicted_kspace(image, operator.csm))
        return coils, combine(to_image(coils), operator.csm)

    def _change_of_kspace(self, part: nn.Module, coils: Tensor) -> Tensor:
        height, width = coils.shape[-2:]
        ky, kx = (torch.arange(n, device=coils.device) - n // 2 for n in (height, width))
        weight = torch.hypot(ky[:, None].float(), kx.float()).clamp(min=0.5) / math.sqrt(height * width)
        return self._change(part, coils * weight) / weight

    def _change(self, part: nn.Module, image: Tensor) -> Tensor:
        with in_bfloat16(image.device, self.bf16):
            change = part(to_channels(image.flatten(0, 1)))
        return to_complex(change).view_as(image)


def _chain(layers: int, channels: int) -> nn.Sequential:
    """It begins as nothing: an untrained network changes nothing."""
    steps: list[nn.Module] = []
    for n in range(layers - 1):
        steps += [nn.Conv2d(2 if n == 0 else channels, channels, 3, padding=1), nn.LeakyReLU(0.1)]
    last = nn.Conv2d(channels, 2, 3, padding=1)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(*steps, last)
