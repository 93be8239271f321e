"""The field, in Hz, where each pixel alone could as well be the other of water and fat: neighbours decide.

A pixel of nothing but water fits nearly as well as fat in a field that is off by the shift between them. Blocks of
pixels, in a field that changes little within one, tell more, and a field is smooth. So the field of blocks is found
first, by the cost of all fields and that of jumps, then that of each pixel near it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from kband_core.relaxometry.fat_model import fat_shift_hz
from kband_core.relaxometry.min_sum import min_sum
from kband_core.relaxometry.misfit import misfit, products
from kband_core.threads import single_thread

RANGE = 1.5  # fields up to so many shifts of fat are looked for
BLOCKS = 32  # along the longer side
MOST_STEPS = 100  # of the field, each way
MODEL_ERROR = 0.1  # of the signal: motion and flow, no noise, but a pixel must not outvote all others
JUMP = 250.0  # cost of a jump by the shift of fat, from block to block
PULL = 200.0  # cost of a pixel that far off the smooth field
SHIFT_COST = 0.5  # of a field off by the shift of fat: shims are made to avoid it
ROUNDS = 2
NEAR = 24  # steps of the field of a pixel, over the shift of fat


@dataclass(frozen=True)
class FieldMap:
    """`b0` `(y, x)`, Hz; `decay`, a first R2*, 1/s; `margin`: by how much the next field, a swap away, costs more."""

    b0: Tensor
    decay: Tensor
    margin: Tensor


def field_map(echoes: Tensor, echo_times_ms: Tensor, field_t: float, noise: float) -> FieldMap:
    """Find the field of `echoes` `(echo, y, x)`, whose real and imaginary parts have noise of SD `noise`."""
    weight = 1 / (2 * noise**2 + 2 * MODEL_ERROR**2 * echoes.abs().square().mean(0)).clamp(min=1e-30)
    blocks, margin = _of_blocks(echoes, echo_times_ms, field_t, weight)
    shape = echoes.shape[1:]
    smooth = interpolate(blocks[None, None], size=shape, mode="bilinear", align_corners=False)[0, 0]
    margin = interpolate(margin[None, None], size=shape, mode="nearest")[0, 0]
    width = 2 * (_block(shape) // 2) + 1
    for _ in range(ROUNDS):
        b0, decay, certain = _of_pixels(echoes, echo_times_ms, field_t, weight, smooth)
        smooth = _blurred(b0 * certain, width) / _blurred(certain, width)
    return FieldMap(b0, decay, margin)


def _block(shape: torch.Size) -> int:
    return max(-(-max(shape) // BLOCKS), 1)


def _of_blocks(echoes: Tensor, echo_times_ms: Tensor, field_t: float, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Field and margin of blocks. Neighbouring pixels err alike: a block counts as much as its side."""
    shift, side = fat_shift_hz(field_t), _block(echoes.shape[1:])
    span = float(echo_times_ms.max() - echo_times_ms.min()) * 1e-3
    step = max(min(1 / (16 * span), shift / 24), RANGE * shift / MOST_STEPS)
    n_steps = round(RANGE * shift / step)
    fields = torch.arange(-n_steps, n_steps + 1, dtype=torch.float64) * step
    of_blocks = avg_pool2d((products(echoes) * weight)[None], side, ceil_mode=True, count_include_pad=False)[0] * side
    costs = misfit(of_blocks.flatten(1), echo_times_ms, field_t, fields)[0].unflatten(1, of_blocks.shape[1:])
    fields = fields.float()
    costs = costs + SHIFT_COST * (fields / shift).square()[:, None, None]
    jumps = JUMP * ((fields[:, None] - fields) / shift).square()
    with single_thread():
        beliefs = min_sum(costs.permute(1, 2, 0).contiguous(), jumps)
    best, found = beliefs.min(-1)
    is_far = (fields - fields[found][..., None]).abs() > shift / 3
    return fields[found], torch.where(is_far, beliefs, torch.inf).amin(-1) - best


def _of_pixels(
    echoes: Tensor, echo_times_ms: Tensor, field_t: float, weight: Tensor, smooth: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Field and decay of each pixel near the `smooth` field, and how much it tells of the field."""
    shift, times = fat_shift_hz(field_t), echo_times_ms.to(smooth) * 1e-3
    turned = echoes * torch.exp(torch.complex(torch.zeros_like(smooth), -2 * torch.pi * smooth) * times[:, None, None])
    near = torch.arange(-NEAR // 2, NEAR // 2 + 1, dtype=torch.float64) * (shift / NEAR)
    found = misfit(products(turned).flatten(1), echo_times_ms, field_t, near)
    left, decays = (part.unflatten(1, smooth.shape) for part in found)
    costs, near = (left - left.amin(0)) * weight, near.float()
    found = (costs + PULL * (near / shift).square()[:, None, None]).argmin(0)
    return smooth + near[found], decays.gather(0, found[None])[0], costs.amax(0) + 1e-3


def _blurred(image: Tensor, width: int) -> Tensor:
    """Mean over a square; at the border over what there is of it."""
    return torch.nn.functional.avg_pool2d(image[None], width, 1, width // 2, count_include_pad=False)[0]
