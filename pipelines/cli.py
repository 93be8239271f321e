"""The `kband` command."""

from __future__ import annotations

import importlib
import logging
from typing import Any

import click

from pipelines.idle_threads import sleep_while_waiting

COMMANDS = {
    "simulate": "make a multi-coil raw file of a head phantom",
    "prepare": "make planes to train on from raw files",
    "replay": "reconstruct raw files through a pipeline",
    "serve": "serve scans: Gadgetron's and FIRE clients, and Gadgetron's <connect>",
    "view": "draw the images of an MRD file as PNG",
    "check": "find what is wrong with a pipeline's XML",
    "train": "train a network by a recipe",
    "evaluate": "compare a trained network with its peers on raw files",
    "doctor": "tell versions, device, pipelines, and what is amiss",
}


class _Lazy(click.Group):
    """Imports a command when it is called, so that `kband --help` answers at once."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        sleep_while_waiting()
        return getattr(importlib.import_module(f"pipelines.commands.{name}"), name)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; one that is interrupted ends with 130, as the shell expects."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            ctx.exit(130)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.command(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.version_option(package_name="kband", message="%(package)s %(version)s")
@click.option("-v", "--verbose", is_flag=True, help="Tell what the gadgets tell, not only warnings.")
def main(verbose: bool) -> None:
    """MRI reconstruction in the scanner's own chain: simulate, replay, look, check."""
    level = logging.INFO if verbose else logging.WARNING
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s", level=level)
