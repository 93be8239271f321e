"""Recipes of every kind: of networks that make images, map what echoes show, or choose lines."""

from __future__ import annotations

from pathlib import Path

from kband_core.training.lines.recipe import LinesRecipe
from kband_core.training.recipe import Recipe, recipe_content
from kband_core.training.recipe_section import checked
from kband_core.training.water_fat.recipe import WaterFatRecipe

KINDS = {"line_evaluator": LinesRecipe, "water_fat": WaterFatRecipe}
AnyRecipe = Recipe | WaterFatRecipe | LinesRecipe


def read_any_recipe(recipe: Path | str) -> AnyRecipe:
    """Read a YAML file, or the shipped recipe of that name, as the kind it names. Raises `ValueError`, one sentence."""
    content, name = recipe_content(recipe)
    kind = content.get("kind") if isinstance(content, dict) else None
    if kind is not None and kind not in KINDS:
        raise ValueError(f"recipe {name}: kind '{kind}' is not one of {', '.join(KINDS)}; recipes of images name none")
    return checked(KINDS.get(kind, Recipe), content, name)
