"""What a training begins with: another model, or some of its unrolls."""

import pytest
import torch

from kband_core.models import load_model, save_model
from kband_core.networks import build
from kband_core.training.first_network import first_network
from kband_core.training.recipe import Recipe, read_recipe
from tests.tiny_models import FIELDS


def fast(**changes: object) -> Recipe:
    return read_recipe("simulated_fast_first").changed(**{"pretrained": "simulated_small", **changes})


def test_a_shorter_network_begins_with_some_unrolls():
    """Those chosen, in their order, each with its λ."""
    longer, shorter = load_model("simulated_small"), first_network(fast(pretrained_unrolls=(0, 3, 4)))
    for place, unroll in enumerate((0, 3, 4)):
        theirs, ours = (n.denoisers[i].state_dict() for n, i in ((longer, unroll), (shorter, place)))
        assert all(torch.equal(ours[name], weights) for name, weights in theirs.items())
        assert shorter.weight[place] == longer.weight[unroll]
        assert shorter.weight_by_noise[place] == longer.weight_by_noise[unroll]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"pretrained_unrolls": (0, 3, 5)}, "modl: no unroll 5 with weights of its own, 0 to 4 expected"),
        ({"pretrained_unrolls": (1, 3, 4)}, "do not fit network modl"),  # it would remember what none ended with
        ({"pretrained_unrolls": (0, 1, 3, 4)}, "unrolls 5, not 3"),
        ({"pretrained": "simulated_kiki"}, "pretrained_unrolls: 'simulated_kiki' is kiki, which has none"),
    ],
)
def test_unrolls_that_do_not_fit_are_one_sentence(changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        first_network(fast(**changes))


@pytest.mark.parametrize("option", [{"pretrained_unrolls": (0, 3, 4)}, {"pretrained_share": 0.5}])
def test_what_is_taken_of_a_model_needs_one(option):
    """Without one there is nothing to choose from, and nothing to average with."""
    with pytest.raises(ValueError, match=f"{next(iter(option))} given, but no pretrained model"):
        fast(**{"pretrained_unrolls": None, **option, "pretrained": None})


def test_a_part_of_a_network_cannot_be_averaged_with_the_whole(tmp_path, monkeypatch):
    """The weights that it lacks are random at first."""
    config = {"order": "k", "layers": 5, "channels": 24}
    card = {**FIELDS, "name": "stage", "network": {"name": "kiki", "config": config}}
    save_model(tmp_path, card, build("kiki", **config))
    monkeypatch.setenv("KBAND_MODELS", str(tmp_path))
    recipe = read_recipe("simulated_kiki").changed(pretrained="stage")
    assert first_network(recipe) is not None
    with pytest.raises(ValueError, match="pretrained_share: 'stage' has a part of network kiki alone, all of"):
        first_network(recipe.changed(pretrained_share=0.5))
