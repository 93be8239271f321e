"""A head beside a network that stays as it is: any network that was trained on simulated scans."""

import pytest
import torch

from kband_core.models import load_card, load_head, load_model, save_model
from kband_core.networks import build
from kband_core.reconstruct import Given
from kband_core.sampling import Grid
from kband_core.training.scans import generator
from kband_core.training.simulation.procedural import procedural_plane
from kband_core.training.uncertainty.fitting import fit_head
from kband_core.training.uncertainty.judged_scans import judged_scans
from kband_core.uncertainty.expected_error import expected_error
from kband_core.uncertainty.head import Head
from kband_core.uncertainty.laplace import laplace_loss
from tests.command import kband
from tests.tiny_models import CONFIG, FIELDS, LIMITS, save_tiny_head, save_tiny_model

RECIPE = """
name: tiny
network: {{name: unet}}
supervision: {supervision}
data: {{procedural: {{matrix: [64, 64], coils: [4, 4], trajectory: {trajectory}}}}}
optimiser: {{steps: 1}}
"""
BY_LINES = "{name: supervised, line_acceleration: [2, 4], acs_lines: 16}"
LINES = RECIPE.format(supervision=BY_LINES, trajectory="cartesian")
SPOKES = RECIPE.format(supervision="{name: spokes, spoke_acceleration: 4}", trajectory="radial")
NETWORKS = {"unet": {"channels": 2, "scales": 1}, "modl": CONFIG}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where models are looked for."""
    monkeypatch.setenv("KBAND_MODELS", str(tmp_path))
    return tmp_path


def save_model_of(folder, network, recipe):
    config = NETWORKS[network]
    network_of_card, limits = {"name": network, "config": config}, {**LIMITS, "matrix": [64, 256]}
    fields = {**FIELDS, "name": "tiny", "network": network_of_card, "recipe": recipe, "limits": limits}
    return save_model(folder, fields, build(network, **config))


@pytest.mark.parametrize(("network", "recipe"), [("unet", LINES), ("modl", SPOKES)])
def test_any_network_can_carry_a_head(folder, network, recipe):
    """U-Net on lines, MoDL on spokes: weights as they were, a head beside them, a table and a bound in the card."""
    if recipe is SPOKES:
        pytest.importorskip("finufft")
    before = save_model_of(folder, network, recipe)
    result = kband("uncertainty", "tiny", "-o", folder, "--scans", 2, "--held-out", 20, "--steps", 3, "--device", "cpu")
    assert result.exit_code == 0, result.output
    card = load_card("tiny")
    assert f"NMSE at most {card.uncertainty.factor:.2f} times the predicted one in 90 % of 10" in result.stdout
    assert card.sha256 == before.sha256
    assert (card.uncertainty.n_scans, card.uncertainty.level) == (10, 0.9)
    assert len(card.reliability["image"].slopes) == 10
    assert sum(parameter.numel() for parameter in load_head("tiny").parameters()) == card.uncertainty.parameters


def test_a_head_that_was_taught_is_nearer_to_the_errors(folder):
    """40 steps: Laplace's loss on scans it has not seen falls below that of an untrained one, which says 2 %."""
    card, cpu = save_model_of(folder, "unet", LINES), torch.device("cpu")
    scans = list(judged_scans(card, 6, seed="a", device=cpu))
    head = fit_head(scans[:4], 40, seed=0, device=cpu, tell=lambda step, loss: None)

    @torch.no_grad()
    def loss(head):
        said = [head(one.evidence.float()[None])[0] for one in scans[4:]]
        each = [laplace_loss(one.error[one.mapped], of[one.mapped]) for one, of in zip(scans[4:], said, strict=True)]
        return float(sum(each)) / len(each)

    assert loss(head) < loss(Head()) - 0.2


def test_a_model_of_planes_of_a_file_is_refused(folder):
    """Its scans cannot be simulated: nothing would be like them."""
    save_model_of(folder, "unet", LINES.partition("data:")[0] + "optimiser: {steps: 1}")
    result = kband("uncertainty", "tiny", "-o", folder)
    assert result.exit_code == 1
    assert result.stderr == "Error: model 'tiny' was trained on planes of a file; one of simulated scans expected\n"


def given_by(factor):
    plane = procedural_plane((65, 64), n_coils=4, rng=generator("given"))
    mask = torch.zeros(1, 65, 1, dtype=torch.bool)
    mask[:, ::2] = mask[:, 24:40] = True
    return Given.on_grid(factor * plane.kspace[None] * mask, Grid(mask), plane.csm[None]), plane.csm


def test_expected_errors_have_the_unit_of_the_image(folder):
    """A scanner's receiver gain is nothing to be sure or unsure of; an odd matrix is no obstacle; no maps, no error."""
    save_tiny_model(folder)
    card = save_tiny_head(folder)
    errors = []
    for factor in (1, 1000):
        given, csm = given_by(factor)
        image = given.image_of(load_model("tiny"))
        errors.append(expected_error(image, given, load_head("tiny"), card.reliability["image"])[0])
    torch.testing.assert_close(errors[1], 1000 * errors[0], rtol=1e-3, atol=1e-6)
    assert torch.equal(errors[0] > 0, (csm != 0).any(0).any(0))
