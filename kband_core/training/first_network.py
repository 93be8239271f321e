"""The network before the first step of a training."""

from __future__ import annotations

from torch import nn

from kband_core.models import load_model
from kband_core.training.recipe import Recipe


def first_network(recipe: Recipe) -> nn.Module:
    """Return the network before the first step. Raises `ValueError` if the pretrained model is of another kind.

    It may be a part of the network, such as its first stages: weights that it lacks stay random.
    """
    network = recipe.network.build()
    if recipe.pretrained is not None:
        pretrained = load_model(recipe.pretrained)
        theirs, ours = ({k: tuple(v.shape) for k, v in n.state_dict().items()} for n in (pretrained, network))
        if not theirs.items() <= ours.items():
            raise ValueError(
                f"recipe {recipe.name}: the weights of '{recipe.pretrained}' do not fit network {recipe.network.name} "
                f"with {recipe.network.settings}; the network of its model card expected"
            )
        network.load_state_dict(pretrained.state_dict(), strict=False)
    return network
