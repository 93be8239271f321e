"""Examples of one shape share a batch, whatever was left out of each."""

import pytest
import torch

from kband_core.training.batches import stack
from kband_core.training.dataset import Plane
from kband_core.training.supervision import build_supervision

SHAPE = (24, 20)


def plane(mask, rng):
    """Noise, seen by two equal coils."""
    kspace = torch.randn(2, *SHAPE, dtype=torch.complex64, generator=rng)
    return Plane(kspace * mask, mask, torch.full((1, 2, *SHAPE), 0.5**0.5, dtype=torch.complex64), subject="a")


@pytest.mark.parametrize("name", ["supervised", "ssdu"])
def test_lines_and_samples_share_a_batch(name, rng):
    """Their loss is the mean of both; float32 sums in another order."""
    supervise = build_supervision(name, line_acceleration=2, acs_lines=6)
    masks = torch.ones(SHAPE[0], 1, dtype=torch.bool), torch.rand(SHAPE, generator=rng) < 0.7
    pair = [supervise(plane(mask, rng), rng) for mask in masks]
    assert pair[0].sampling.mask.shape != pair[1].sampling.mask.shape

    def loss(examples):
        return supervise.loss_of(lambda kspace, operator, noise: operator.adjoint(kspace), stack(examples))

    torch.testing.assert_close(loss(pair), torch.stack([loss([one]) for one in pair]).mean(), rtol=1e-4, atol=0)
