"""Networks that map water and fat, from recipe to model, on the smallest simulated scans."""

import pytest
import torch
import yaml

from kband_core.models import load_card, load_model
from kband_core.relaxometry.projection import synthesised
from kband_core.training.recipe import Recipe
from kband_core.training.recipe_kinds import read_any_recipe
from kband_core.training.simulation.procedural_echoes import echo_scan
from kband_core.training.water_fat.examples import example_of, slice_of
from kband_core.training.water_fat.loss import map_errors, water_fat_loss
from kband_core.training.water_fat.recipe import WaterFatRecipe
from tests.command import kband

TINY = {
    "kind": "water_fat", "name": "tiny_maps", "network": {"name": "upnet", "channels": [4, 4, 4]},
    "scans": {"matrix": 16, "n_scans": 2, "echoes": [3, 4], "coils": [4, 4], "acceleration": [1, 2]},
    "optimiser": {"learning_rate": 0.001, "steps": 2, "batch": 2}, "validation": {"every": 1, "scans": 1,
                                                                               "calibration": 2, "bins": 2},
}  # fmt: skip
pytest.importorskip("finufft")


def scan(seed, **options):
    return echo_scan((24, 24), rng=torch.Generator().manual_seed(seed), n_echoes=(4, 4), coils=(6, 6), **options)


@pytest.fixture
def recipe(tmp_path):
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(TINY))
    return tmp_path / "tiny.yaml"


@pytest.mark.parametrize("sampling", ["lines", "spokes"])
def test_a_simulated_scan_shows_its_truth(sampling):
    """Of many samples with little noise the maps fit the echoes: by what the body's edges and CG leave, 8 %."""
    one = scan(1, sampling=sampling, acceleration=(1, 1), noise=(1e-4, 1e-4))
    example = example_of([slice_of(one)])
    water, fat, r2star, b0 = example.truth
    made = synthesised(example.echoes, water, fat, r2star, b0)
    assert (made - example.echoes.signal).norm() < 0.08 * example.echoes.signal.norm()


def test_the_seed_is_the_scan():
    """Or a resumed training would see other scans."""
    assert torch.equal(scan(3).echoes, scan(3).echoes)
    assert not torch.equal(scan(3).echoes, scan(4).echoes)


def test_turning_an_example_turns_its_errors():
    """Echoes, start and truth go together: mirrored and turned, the same loss of the maps that were told."""
    torch.manual_seed(0)
    network = read_any_recipe("simulated_waterfat").changed("network", channels=[4, 4, 4]).build()
    one = slice_of(scan(5))
    errors = []
    for turn in (0, 3, 6):
        example = example_of([one], [turn])
        mapped = network(example.echoes, example.noise, example.r2star, example.b0)
        errors.append(map_errors(mapped, example).abs().mean())
        assert torch.isfinite(water_fat_loss(mapped, example))
    assert torch.allclose(torch.stack(errors), errors[0], rtol=1e-3)


def test_train_writes_a_model_that_maps(tmp_path, recipe, monkeypatch):
    """Weights and a card that says what it has seen, how well it does beside the fit, and how far σ may be trusted."""
    told = kband("train", recipe, "-o", tmp_path / "models", "--device", "cpu", "--workers", 0)  # as it does anyway
    assert told.exit_code == 0, told.output
    assert "tiny_maps: 2 of 2 steps in" in told.output
    monkeypatch.setenv("KBAND_MODELS", str(tmp_path / "models"))
    card = load_card("tiny_maps")
    assert card.echoes.number[0] >= 3
    assert set(card.reliability) == {"PDFF", "R2*", "B0"}
    assert {"pdff", "fit_pdff"} <= card.metrics.keys()
    assert load_model(card) is not None
    again = kband("train", recipe, "-o", tmp_path / "models", "--resume", "--steps", 3)
    assert "3 of 3 steps" in again.output


@pytest.mark.parametrize(
    ("change", "options", "said"),
    [
        ({"kind": "maps"}, (), "kind 'maps' is not one of line_evaluator, water_fat; recipes of images name none"),
        ({"scan": {}}, (), "unknown key 'scan'; known are name, description, kind, network, scans, optimiser"),
        ({"scans": {"coil": 3}}, (), "unknown key 'scans.coil'; known are matrix, n_scans, echoes, coils"),
        ({"network": {"name": "unet"}}, (), "network unet makes images; upnet maps water and fat"),
        ({}, ("--device", "cuda"), "--device: not for a recipe of the kind water_fat, which simulates its scans"),
    ],
)
def test_what_cannot_be_trained_is_one_sentence(tmp_path, recipe, change, options, said):
    """Before any scan is simulated."""
    recipe.write_text(yaml.safe_dump({**TINY, **change}))
    told = kband("train", recipe, "-o", tmp_path / "models", *options)
    assert (told.exit_code, told.output.count("\n")) == (1, 1)
    assert said in told.output


def test_recipes_are_read_as_the_kind_they_name():
    """A recipe that names none makes images."""
    assert isinstance(read_any_recipe("simulated_waterfat"), WaterFatRecipe)
    assert isinstance(read_any_recipe("simulated_small"), Recipe)
