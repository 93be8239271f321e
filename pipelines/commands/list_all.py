"""`kband list`: what there is to name on the command line."""

from __future__ import annotations

import textwrap
from pathlib import Path

import click


@click.command("list")
@click.option("--scans", type=click.Path(path_type=Path, exists=True, file_okay=False), metavar="FOLDER",
              help="Instead: the scans that kband serve has kept in this folder, newest first.")  # fmt: skip
@click.option("--images", type=click.Path(path_type=Path, exists=True, file_okay=False), metavar="FOLDER",
              help="With --scans: the folder of --save-images, to say which images are those of a scan.")  # fmt: skip
def list_all(scans: Path | None, images: Path | None) -> None:
    """Name the pipelines, recipes and models that are there, each with one line of what it is.

    Models are those of the folders in KBAND_MODELS and those that ship.
    """
    if images is not None and scans is None:
        raise click.UsageError("--images goes with --scans")
    if scans is not None:
        from pipelines.hosts.kept_list import kept_scans

        found = list(kept_scans(scans, images))
        click.echo("\n".join(found) or f"no kept scans in {scans}")
        return
    from kband_core.model_folders import available_models
    from kband_core.models import load_card
    from kband_core.training.recipe_kinds import read_any_recipe
    from kband_core.training.shipped_recipes import shipped_recipes
    from pipelines.chain.installed import installed_pipelines

    described = {"pipelines": [(name, "") for name in installed_pipelines()],
                 "recipes": [(name, read_any_recipe(name).description) for name in shipped_recipes()],
                 "models": []}  # fmt: skip
    for name, path in available_models().items():
        try:
            described["models"].append((name, f"{load_card(name).label} ({path.parent})"))
        except ValueError as problem:
            described["models"].append((name, str(problem)))
    for kind, found in described.items():
        click.echo(f"{kind}:")
        for name, text in found:
            click.echo(f"  {name:<20}{textwrap.shorten(text, 100, placeholder=' …')}".rstrip())
