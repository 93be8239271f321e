"""Recipes: those that ship can be followed, and a typing error is named."""

import re

import pytest
import yaml

from gadgets.recon.kband_recon import KBandRecon
from kband_core.training.first_network import first_network
from kband_core.training.lines.recipe import LinesRecipe
from kband_core.training.recipe import Recipe, parse_recipe, read_recipe
from kband_core.training.recipe_kinds import read_any_recipe
from kband_core.training.schedule import one_cycle, staircase
from kband_core.training.shipped_recipes import shipped_recipes
from tests.training.tiny import TINY

NAMES = list(shipped_recipes())


@pytest.mark.parametrize("name", NAMES)
def test_every_shipped_recipe_can_be_followed(name):
    """A recipe that cannot be built would only say so after hours of preparing data."""
    recipe = read_any_recipe(name)
    assert recipe.name == name
    assert recipe.description
    assert isinstance(recipe, LinesRecipe) or recipe.network.build()
    assert not isinstance(recipe, Recipe) or recipe.supervision.build()


def test_the_recipe_of_a_site_begins_with_the_model_that_ships(monkeypatch):
    """It names the network a second time, which must be that of the model."""
    monkeypatch.delenv("KBAND_MODELS", raising=False)
    recipe = read_recipe("site_ssdu")
    assert recipe.pretrained == KBandRecon().model
    assert first_network(recipe)


def test_a_recipe_can_be_written_and_read():
    """The model card keeps the recipe as text: it must give the same training again."""
    recipe = read_recipe("simulated_small")
    assert parse_recipe(yaml.safe_load(recipe.text()), "card") == recipe


@pytest.mark.parametrize(
    ("section", "key", "known"),
    [
        (None, "optimizer", "known are name, description, pretrained, pretrained_share, pretrained_unrolls, network, "),
        ("optimiser", "lr", "unknown key 'optimiser.lr'; known are learning_rate, steps, epochs"),
        ("network", "depth", "network modl: no setting 'depth'; settings are unrolls, denoiser"),
        ("supervision", "R", "supervision supervised: no option 'R'; there are line_acceleration, acs_lines"),
    ],
)
def test_an_unknown_key_is_named(section, key, known):
    """A misspelt option that is passed over silently trains another model than its card says."""
    content = {**TINY, key: 1} if section is None else {**TINY, section: {**TINY[section], key: 1}}
    with pytest.raises(ValueError, match=known) as told:
        parse_recipe(content, "tiny")
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("section", "values", "sentence"),
    [
        ("optimiser", {"steps": None}, "optimiser: either steps or epochs expected"),
        ("optimiser", {"learning_rate": float("nan")}, "optimiser.learning_rate: input should be"),
        ("optimiser", {"steps": None, "epochs": 3}, "epochs of procedural scans without n_scans never end"),
        ("data", {"planes": "a.h5"}, "data: planes of a file and procedural ones are both given"),
        ("supervision", {"line_acceleration": "four"}, "supervision: an option is of the wrong kind"),
        ("supervision", {"sampling": "spiral"}, "sampling: 'spiral' is not one of lines, equispaced, mixed, poisson"),
    ],
)
def test_a_value_that_cannot_be_is_named(section, values, sentence):
    """One sentence, with the key."""
    with pytest.raises(ValueError, match=sentence) as told:
        parse_recipe({**TINY, section: {**TINY[section], **values}}, "tiny")
    assert "\n" not in str(told.value)


def test_what_is_no_recipe_is_refused(tmp_path):
    """No file, no YAML, no mapping: one sentence each."""
    with pytest.raises(ValueError, match="no file and no shipped recipe 'knie'; shipped are brain_kband, knee_kband"):
        read_recipe("knie")
    (tmp_path / "a.yaml").write_text("name: [")
    with pytest.raises(ValueError, match=r"recipe a.yaml: not YAML"):
        read_recipe(tmp_path / "a.yaml")
    (tmp_path / "a.yaml").write_text("- name")
    with pytest.raises(ValueError, match=r"recipe a.yaml: list found, keys expected: name, description"):
        read_recipe(tmp_path / "a.yaml")


def test_one_cycle_rises_and_falls():
    """Warm-up of 5 %, then half a cosine to 1 %: by hand at the ends and in the middle."""
    rates = [one_cycle(step, 200) for step in range(200)]
    assert rates[0] == 0.1
    assert rates[9] == 1
    assert rates == sorted(rates[:10]) + sorted(rates[10:], reverse=True)
    assert rates[-1] == pytest.approx(0.01)
    assert one_cycle(104, 200) == pytest.approx(0.505)


def test_the_staircase_drops_tenfold():
    """At half of the steps, as in the paper: epoch 5 of 10."""
    assert [staircase(step, 10, [0.5]) for step in (0, 4, 5, 9)] == [1, 1, 0.1, 0.1]


@pytest.mark.parametrize(("section", "change", "sentence"), [
    ("network", {"unrolls": 10**9}, "unrolls is 1000000000, 1 to 64 expected"),
    ("data", {"procedural": {"matrix": [96, 10**9]}}, "data.procedural.matrix: input should be less than or equal to"),
    ("data", {"procedural": {"n_scans": 10**9}}, "data.procedural.n_scans: input should be less than"),
    ("optimiser", {"batch": 10**9}, "optimiser.batch: input should be less than or equal to 65536"),
])  # fmt: skip
def test_numbers_are_bounded(section, change, sentence):
    """A slip of the keyboard must not take all memory of a machine that others share."""
    content = {**TINY, section: {**TINY.get(section, {}), **change}}
    with pytest.raises(ValueError, match=re.escape(sentence)):
        parse_recipe(content, "a.yaml")


def test_depth_is_bounded(tmp_path):
    """Nested too deep, the parser itself would break off with a traceback."""
    (tmp_path / "a.yaml").write_text("[" * 3000)
    with pytest.raises(ValueError, match=r"recipe a.yaml: it is nested more than 20 deep"):
        read_recipe(tmp_path / "a.yaml")
