"""The network before the first step of a training, and what the model that it begins with was taught by."""

from __future__ import annotations

from torch import Tensor, nn

from kband_core.model_card import Earlier
from kband_core.models import load_card, load_model
from kband_core.networks.modl import Modl
from kband_core.training.recipe import Recipe


def first_network(recipe: Recipe) -> nn.Module:
    """Return the network before the first step. Raises `ValueError` if the pretrained model is of another kind.

    It may be a part of the network, such as its first stages: weights that it lacks stay random.
    """
    network = recipe.network.build()
    if recipe.pretrained is not None:
        weights = _weights(recipe)
        theirs, ours = ({k: tuple(v.shape) for k, v in of.items()} for of in (weights, network.state_dict()))
        if not theirs.items() <= ours.items():
            raise ValueError(
                f"recipe {recipe.name}: the weights of '{recipe.pretrained}' do not fit network {recipe.network.name}, "
                f"for it is {_difference(recipe)}; a recipe with the network of its model card expected"
            )
        if recipe.pretrained_share and theirs != ours:
            raise ValueError(
                f"recipe {recipe.name}: pretrained_share: '{recipe.pretrained}' has a part of network "
                f"{recipe.network.name} alone, all of it expected"
            )
        network.load_state_dict(weights, strict=False)
    return network


def _weights(recipe: Recipe) -> dict[str, Tensor]:
    """Those of the pretrained model, or of some of its unrolls."""
    pretrained, unrolls = load_model(recipe.pretrained), recipe.pretrained_unrolls
    if unrolls is None:
        return pretrained.state_dict()
    if not isinstance(pretrained, Modl):
        name = load_card(recipe.pretrained).network.name
        raise ValueError(f"recipe {recipe.name}: pretrained_unrolls: '{recipe.pretrained}' is {name}, which has none")
    return pretrained.weights_of(unrolls)


def earlier_trainings(recipe: Recipe) -> tuple[Earlier, ...]:
    """Return all trainings before that of the recipe, oldest first, as the card of its pretrained model tells them."""
    return () if recipe.pretrained is None else load_card(recipe.pretrained).as_earlier()


def _difference(recipe: Recipe) -> str:
    """In what the network of the pretrained model differs from that of the recipe."""
    theirs, ours = load_card(recipe.pretrained).network, recipe.network
    if theirs.name != ours.name:
        return theirs.name
    names = sorted({*theirs.config, *ours.settings})
    told = [(name, theirs.config.get(name, "its default"), ours.settings.get(name, "its default")) for name in names]
    return "of " + ", ".join(f"{name} {its}, not {own}" for name, its, own in told if its != own)
