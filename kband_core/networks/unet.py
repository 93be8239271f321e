"""U-Net: the image-domain baseline, which knows what was measured by its zero-filled image, or at its end as well."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from kband_core.device import in_bfloat16
from kband_core.networks.blocks import to_channels, to_complex
from kband_core.networks.consistency import replace_measured
from kband_core.operators import EncodingOperator


class UNet(nn.Module):
    """U-Net on the zero-filled, coil-combined image, any size; `channels` at the top, doubled on each of `scales`.

    Ronneberger, Fischer and Brox, MICCAI 2015; instance norm and leaky ReLU as in the fastMRI baseline (Zbontar,
    arXiv 1811.08839). `consistent`: measured samples take their place again in its image. `bf16`: the
    convolutions alone compute in bfloat16, if the device has instructions for it.
    """

    def __init__(self, channels: int = 32, scales: int = 4, bf16: bool = False, consistent: bool = False) -> None:
        super().__init__()
        if not (1 <= channels <= 256 and 1 <= scales <= 8):
            raise ValueError(f"unet: {channels} channels on {scales} scales, 1 to 256 on 1 to 8 expected")
        self.bf16, self.consistent = bf16, consistent
        widths = [channels * 2**scale for scale in range(scales + 1)]
        self.down = nn.ModuleList(_twice(a, b) for a, b in zip([2, *widths[:-1]], widths, strict=True))
        self.up = nn.ModuleList(nn.ConvTranspose2d(2 * w, w, 2, stride=2, bias=False) for w in widths[:-1])
        self.merge = nn.ModuleList(_twice(2 * w, w) for w in widths[:-1])
        self.tail = nn.Conv2d(channels, 2, 1)

    def forward(self, kspace: Tensor, operator: EncodingOperator, noise: Tensor) -> Tensor:
        """Reconstruct `(b, coil, ky, kx)` to `(b, set, y, x)`; sets are treated one by one."""
        image = operator.adjoint(kspace)
        with in_bfloat16(image.device, self.bf16):
            change = self._change(to_channels(image.flatten(0, 1)))
        image = image + to_complex(change).view_as(image)
        return replace_measured(image, kspace, operator) if self.consistent else image

    def _change(self, channels: Tensor) -> Tensor:
        height, width = channels.shape[-2:]
        multiple = 2 ** len(self.up)
        wide = -width % multiple if max(height, width) > multiple else 2 * multiple - width  # one pixel has no norm
        features = pad(channels, (0, wide, 0, -height % multiple), mode="replicate")
        kept = []
        for scale, block in enumerate(self.down):
            features = block(features if scale == 0 else nn.functional.avg_pool2d(features, 2))
            kept.append(features)
        for up, merge, skip in reversed(list(zip(self.up, self.merge, kept[:-1], strict=True))):
            features = merge(torch.cat([up(features), skip], 1))
        return self.tail(features)[..., :height, :width]


def _twice(n_in: int, n_out: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for n in (n_in, n_out):
        layers += [nn.Conv2d(n, n_out, 3, padding=1, bias=False), nn.InstanceNorm2d(n_out), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers)
