"""Scalps surround what is given, and textured ones are nowhere flat."""

import pytest
import torch

from kband_core.training.simulation.random_scalps import within_cartoon_scalp, within_textured_scalp

SHAPE = (128, 160)
EDGE = 0.8


def outline():
    """Distance from the centre, 1 at the skin, on an ellipse that leaves room around it."""
    y, x = (torch.linspace(-1, 1, n) for n in SHAPE)
    return torch.hypot(y[:, None] / 0.8, x / 0.9)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("surround", [within_cartoon_scalp, within_textured_scalp])
def test_a_scalp_lies_between_the_head_and_the_skin(surround, seed):
    """Deep inside the head is as it was, outside there is nothing, and between the two something else."""
    head = torch.full(SHAPE, 0.7)
    image = surround(head, outline(), EDGE, torch.Generator().manual_seed(seed))
    deep, within = outline() < EDGE - 0.2, (outline() > EDGE + 0.12) & (outline() < 1)
    torch.testing.assert_close(image[deep], head[deep], atol=2e-3, rtol=0)
    assert not image[outline() >= 1].any()
    assert float((image[within] - 0.7).abs().mean()) > 0.05
    assert float(image[within].min()) > 0


def test_layers_of_a_cartoon_are_flat_and_textured_ones_are_not():
    """Up to 7 layers, with and without patches: 14 levels. Otherwise hardly two pixels are the same."""

    def levels(surround, seed):
        image = surround(torch.zeros(SHAPE), outline(), EDGE, torch.Generator().manual_seed(seed))
        ring = image[(outline() > 0.96) & (outline() < 1)]
        ring = ring[ring > 0.01]  # nothing in an object is darker
        return len(ring.unique()), len(ring)

    cartoon = [levels(within_cartoon_scalp, seed) for seed in range(6)]
    textured = [levels(within_textured_scalp, seed) for seed in range(6)]
    assert all(n_levels <= 14 for n_levels, _ in cartoon)
    assert all(n_levels > 0.9 * n_pixels for n_levels, n_pixels in textured)


@pytest.mark.parametrize("seed", range(4))
def test_a_textured_scalp_is_uneven(seed):
    """The scalp of one side of the head is not that of the other, and a head has one scalp of its own."""
    image = within_textured_scalp(torch.zeros(SHAPE), outline(), EDGE, torch.Generator().manual_seed(seed))
    ring = (outline() > EDGE + 0.05) & (outline() < 1)
    difference = (image - image.flip(1))[ring]
    assert float(difference.abs().mean()) > 0.05 * float(image[ring].mean())
