"""Names that the shell completes when Tab is pressed: of pipelines, recipes and models."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import click
from click.shell_completion import CompletionItem

from kband_core.model_folders import available_models
from kband_core.training.shipped_recipes import shipped_recipes
from pipelines.chain.installed import installed_pipelines

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def _or_files(names: Callable[[], Iterable[str]]) -> Complete:
    """Complete what begins like a name, or else a file, which may be given instead."""

    def complete(_: click.Context, __: click.Parameter, begun: str) -> list[CompletionItem]:
        found = [CompletionItem(name) for name in names() if name.startswith(begun)]
        return found or [CompletionItem(begun, type="file")]

    return complete


pipeline_names = _or_files(installed_pipelines)
recipe_names = _or_files(shipped_recipes)
model_names = _or_files(available_models)
