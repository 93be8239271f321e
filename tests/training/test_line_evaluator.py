"""What chooses lines is trained by a recipe of its own kind."""

import pytest
import torch
import yaml

from kband_core.models import load_card, load_model
from kband_core.networks.line_evaluator import LineEvaluator
from kband_core.training.lines.recipe import LinesRecipe
from kband_core.training.lines.trainer import follow, margins
from kband_core.training.lines.varied_scans import varied_kspace
from kband_core.training.recipe_kinds import read_any_recipe
from tests.command import kband

TINY = {"kind": "line_evaluator", "name": "tiny_lines", "matrix": [32], "scans": 6, "rounds": 2, "steps": 3}


def recipe(folder, **changed):
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump({**TINY, **changed}))
    return path


def test_the_same_recipe_gives_the_same_weights(tmp_path, monkeypatch):
    """From one command: weights and a card that says on what."""
    for folder in ("one", "other"):
        made = kband("train", recipe(tmp_path), "-o", tmp_path / folder)
        assert (made.exit_code, "2 rounds of 3 steps on 6 scans" in made.output) == (0, True)
    one, other = ((tmp_path / folder / "tiny_lines.safetensors").read_bytes() for folder in ("one", "other"))
    assert one == other
    monkeypatch.setenv("KBAND_MODELS", str(tmp_path / "one"))
    assert isinstance(load_model("tiny_lines"), LineEvaluator)
    assert load_card("tiny_lines").label == "line evaluator tiny_lines, supervised on simulated scans"


@pytest.mark.parametrize(
    ("changed", "options", "sentence"),
    [
        ({"step": 3}, (), "recipe recipe.yaml: unknown key 'step'; known are name, description, kind, matrix"),
        ({"scans": 5}, (), "recipe recipe.yaml: 5 scans, at least 6 of each of 1 sizes"),
        ({"matrix": [24]}, (), "recipe recipe.yaml: 24 lines, at least 4 times the calibration lines"),
        ({"width": "wide"}, (), "recipe recipe.yaml: width: input should be a valid integer"),
        ({}, ("--resume", "--workers", "1"), "--workers, --resume: not for a recipe of the kind line_evaluator, which"),
    ],
)
def test_what_cannot_be_trained_is_one_sentence(changed, options, sentence, tmp_path):
    refused = kband("train", recipe(tmp_path, **changed), "-o", tmp_path / "out", *options)
    assert (refused.exit_code, sentence in refused.output) == (1, True)


def test_the_shipped_evaluator_comes_of_the_shipped_recipe():
    """Else nobody could make it again."""
    assert LinesRecipe(**yaml.safe_load(load_card("simulated_lines").recipe)) == read_any_recipe("simulated_lines")


def test_margins_keep_their_share_of_the_scans_that_told_them():
    """By definition of a quantile; of an untrained network as well."""
    rng = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    evaluator = LineEvaluator().requires_grad_(False)
    scans = follow(torch.stack([varied_kspace(32, rng) for _ in range(5)]), 8, rng)
    margin = margins(evaluator, [scans], share=0.8)
    told = (10 ** evaluator(scans.features.flatten(0, 1))).sum(-1).view_as(scans.nmse)
    n_lines = 8 + torch.arange(len(scans.nmse))
    kept = scans.nmse <= margin[n_lines * 16 // 32][:, None] * told * (1 + 1e-5)
    assert 0.7 < kept.float().mean() < 0.95
