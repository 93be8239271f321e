"""Adam's first step moves every parameter by the learning rate, whatever its gradient: a measure of each one's pace."""

import pytest
import torch
from torch import nn

from kband_core import networks
from kband_core.training.adam import adam, set_rate
from kband_core.training.checkpoint import load_checkpoint
from kband_core.training.first_network import first_network
from kband_core.training.trainer import train
from tests.training.tiny import tiny_recipe


def moved(network: nn.Module, rate: float, pace: float) -> dict[str, float]:
    """How far the first step moves each parameter, at most."""
    optimiser, before = adam(network, 1.0, pace), {name: p.detach().clone() for name, p in network.named_parameters()}
    set_rate(optimiser, rate)
    for parameter in network.parameters():
        parameter.grad = torch.full_like(parameter, 3.0)
    optimiser.step()
    return {name: float((p.detach() - before[name]).abs().max()) for name, p in network.named_parameters()}


def test_weights_of_data_consistency_learn_at_their_own_pace():
    found = moved(networks.build("modl", unrolls=2, channels=4), 1e-3, pace=7.0)
    paces = {name: round(distance / 1e-3) for name, distance in found.items()}
    assert {name for name, pace in paces.items() if pace == 7} == {"weight", "weight_by_noise"}
    assert set(paces.values()) == {1, 7}


def test_a_network_that_names_none_learns_at_one_pace():
    assert {round(distance / 1e-2) for distance in moved(nn.Conv2d(1, 2, 3), 1e-2, pace=7.0).values()} == {1}


def test_a_training_goes_by_its_schedule_and_pace(tmp_path):
    """The first of 40 steps, of which two rise to the rate of 0.01, is at half of it; λ goes 3 times as far."""
    recipe = tiny_recipe(optimiser={"steps": 40, "pace": 3})
    train(recipe, tmp_path, device="cpu", n_workers=0, minutes=1e-9)
    after = load_checkpoint(tmp_path / "tiny.checkpoint")["network"]
    torch.manual_seed(recipe.seed)
    before = first_network(recipe).state_dict()
    distance = {name: float((after[name] - before[name]).abs().max()) for name in before}
    kernels = [far for name, far in distance.items() if name not in ("weight", "weight_by_noise")]
    assert [distance["weight"], max(kernels)] == pytest.approx([0.015, 0.005], rel=0.01)
