"""A small head, and the way of its lines through gadgets."""

import torch

from gadgets.items import ImageArray
from kband_core.fourier import to_image

N_COILS, N = 6, 64


def reconstruct(scan, lines, *gadgets) -> list[ImageArray]:
    stream = lines
    for gadget in gadgets:
        gadget.open(scan)
        stream = gadget.process(stream)
    return list(stream)


def root_sum_of_squares(kspace) -> torch.Tensor:
    return to_image(torch.from_numpy(kspace)).abs().square().sum(-3).sqrt()
