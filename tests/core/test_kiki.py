"""KIKI-net: sizes, what was measured, and stages."""

import pytest
import torch

from kband_core.models import save_model
from kband_core.networks import build
from kband_core.operators import encoding_operator
from kband_core.shots import Shots
from kband_core.training.first_network import first_network
from kband_core.training.recipe import read_recipe
from tests.core.test_networks import inputs, network, with_maps
from tests.laws import nmse
from tests.tiny_models import FIELDS


def test_published_kiki_net_has_the_published_size():
    """25 layers of 64 features, four times: 3.4 million."""
    assert sum(p.numel() for p in build("kiki").parameters()) == 4 * (1216 + 23 * 36_928 + 1154)


@pytest.mark.parametrize("order", ["kiki", "kik", "kk", "iiii"])
def test_untrained_kiki_net_replaces_what_was_measured(order, rng):
    """Its convolutions change nothing: what remains is x ← x + Aᴴ(y − Ax), for each "i" and each "k" without one."""
    kspace, operator, noise = inputs(rng)
    expected = adjoint = operator.adjoint(kspace)
    for _ in order.replace("ki", "i"):
        expected = expected + adjoint - operator.normal(expected)
    assert nmse(build("kiki", order=order, layers=2, channels=2)(kspace, operator, noise).detach(), expected) < 1e-10


def test_kiki_net_of_one_coil_keeps_what_was_measured(rng):
    """Whatever its convolutions say: the samples of the image at measured places are the measured ones."""
    kspace, operator, noise = inputs(rng, n_coils=1)
    operator = with_maps(operator, torch.ones_like(operator.csm))
    kspace = operator.forward(torch.randn(2, 1, 12, 10, dtype=torch.complex64, generator=rng))
    for order in ("kiki", "kik"):
        image = network("kiki", order=order)(kspace, operator, noise).detach()
        assert nmse(operator.forward(image), kspace) < 1e-10


def test_last_stage_of_kiki_net_is_trained_alone(rng):
    """Stages before it are as they were trained."""
    model = network("kiki", order="kik", trained="last")
    model(*inputs(rng)).abs().square().sum().backward()
    assert {name.split(".")[1] for name, p in model.named_parameters() if p.grad is not None} == {"2"}


def test_kiki_net_has_no_kspace_along_a_trajectory(rng):
    """Its k-space network needs a grid; without one it takes any samples."""
    shots = Shots(torch.rand(1, 4, 8, 2, generator=rng) - 0.5, torch.ones(1, 4, 8))
    operator = encoding_operator(shots, torch.ones(1, 1, 1, 8, 8, dtype=torch.complex64))
    kspace = torch.ones(1, 1, 4, 8, dtype=torch.complex64)
    with pytest.raises(ValueError, match="kiki: order kiki needs samples on a grid, but they lie along a trajectory"):
        network("kiki")(kspace, operator, torch.ones(1))
    assert network("kiki", order="ii")(kspace, operator, torch.ones(1)).shape == (1, 1, 8, 8)


def test_a_stage_begins_with_the_stages_before_it(tmp_path, monkeypatch):
    """Stage by stage: "ki" takes the trained "k", and its "i" begins as nothing."""
    monkeypatch.setenv("KBAND_MODELS", str(tmp_path))
    small = {"layers": 2, "channels": 2}
    trained = network("kiki", order="k", **small)
    of_stage = {"name": "kiki", "config": {"order": "k", **small}}
    save_model(tmp_path, {**FIELDS, "name": "first", "network": of_stage}, trained)
    recipe = read_recipe("simulated_kiki").changed("network", order="ki", **small).changed(pretrained="first")
    second = first_network(recipe)
    for name, weights in trained.state_dict().items():
        assert torch.equal(second.state_dict()[name], weights)
    assert not second.parts[1][-1].weight.any()


def test_nothing_is_invented_where_there_are_no_maps_in_the_image_alone(rng):
    """Without a "k" no coil image brings the maps back in."""
    kspace, operator, noise = inputs(rng)
    csm = operator.csm.clone()
    csm[..., :4] = 0
    assert network("kiki", order="ii")(kspace, with_maps(operator, csm), noise)[..., :4].abs().max() == 0
