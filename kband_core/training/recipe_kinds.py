"""Recipes of every kind: of networks that make images, and of those that map what echoes show."""

from __future__ import annotations

from pathlib import Path

from kband_core.training.recipe import Recipe, checked, recipe_content
from kband_core.training.water_fat.recipe import WaterFatRecipe

KINDS = {"water_fat": WaterFatRecipe}


def read_any_recipe(recipe: Path | str) -> Recipe | WaterFatRecipe:
    """Read a YAML file, or the shipped recipe of that name, as the kind it names. Raises `ValueError`, one sentence."""
    content, name = recipe_content(recipe)
    kind = content.get("kind") if isinstance(content, dict) else None
    if kind is not None and kind not in KINDS:
        raise ValueError(f"recipe {name}: kind '{kind}' is not one of {', '.join(KINDS)}; none makes images")
    return checked(KINDS.get(kind, Recipe), content, name)
