"""What lies in a model's file, and that the model that ships is what its card says."""

import pytest
import safetensors.torch
import torch
import yaml

from kband_core.models import load_card, load_model, save_model
from kband_core.networks import build
from kband_core.training.recipe import parse_recipe, read_recipe
from tests.laws import all_samples
from tests.tiny_models import CONFIG, FIELDS


def test_bf16_convolutions_are_stored_as_they_compute(tmp_path, monkeypatch, rng):
    """Half the size in the repository, and not one pixel is another."""
    monkeypatch.setenv("KBAND_MODELS", str(tmp_path))
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    module = build("modl", **CONFIG, bf16=True).eval()
    torch.nn.init.normal_(module.denoisers[0].tail.weight, std=0.1)
    fields = {**FIELDS, "name": "half", "network": {"name": "modl", "config": {**CONFIG, "bf16": True}}}
    save_model(tmp_path, fields, module)
    kspace = torch.randn(1, 2, 16, 16, dtype=torch.complex64, generator=rng)
    inputs = kspace, all_samples(kspace[:, None]), torch.ones(1)
    with torch.no_grad():
        assert torch.equal(load_model("half")(*inputs), module(*inputs))
    stored = safetensors.torch.load_file(tmp_path / "half.safetensors")
    assert stored["denoisers.0.tail.weight"].dtype == torch.bfloat16
    assert stored["weight"].dtype == torch.float32


@pytest.mark.parametrize("name", ["simulated_small", "simulated_fast", "simulated_kband"])
def test_the_shipped_model_comes_of_the_shipped_recipe(name):
    """Who trains by the recipe of that name gets the network that ships."""
    card = load_card(name)
    recipe = read_recipe(name)
    assert recipe == parse_recipe(yaml.safe_load(card.recipe), "the card's")
    assert card.steps <= recipe.optimiser.steps
    assert load_model(card) is load_model(name)
