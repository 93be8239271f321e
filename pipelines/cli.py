"""The `kband` command."""

from __future__ import annotations

import difflib
import importlib
import logging
import os
from typing import Any

import click

from pipelines.idle_threads import sleep_while_waiting

COMMANDS = {
    "simulate": "make a multi-coil raw file of a head phantom",
    "simulate-scanner": "measure a raw file line by line, as the pipeline asks for them",
    "prepare": "make planes to train on from raw files",
    "replay": "reconstruct raw files through a pipeline",
    "serve": "serve scans: Gadgetron's and FIRE clients, and Gadgetron's <connect>",
    "stream": "reconstruct a scan from standard input to standard output",
    "view": "draw the images of an MRD file as PNG",
    "compare": "draw the images of two MRD files beside their difference, and say how they agree",
    "export": "write images as DICOM, NIfTI, npy or cfl, or raw lines as npy or cfl",
    "send": "send DICOM images to an archive (PACS)",
    "list": "name pipelines, recipes and models that are there",
    "check": "find what is wrong with a pipeline's XML",
    "design-trajectory": "learn shots for images of a size, within gradient limits; as table and Pulseq sequence",
    "train": "train a network by a recipe",
    "uncertainty": "train what says how large the errors of a network's images are",
    "evaluate": "compare a trained network with its peers on raw files",
    "doctor": "tell versions, device, pipelines, and what is amiss",
}

QUIET = "kband.quiet"
FILES = {  # where Python cannot call it as we do
    "list": "list_all", "design-trajectory": "design_trajectory", "simulate-scanner": "simulate_scanner",
}  # fmt: skip


class _Lazy(click.Group):
    """Imports a command when it is called, so that `kband --help` answers at once."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS and ctx.resilient_parsing:  # the shell asks for completion: it wants no sentence
            return None
        if name not in COMMANDS:
            alike = difflib.get_close_matches(name, COMMANDS, n=1)
            ctx.fail(f"no command '{name}'" + (f"; did you mean {alike[0]}?" if alike else ""))
        sleep_while_waiting()
        name = FILES.get(name, name)
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


def _without_progress(ctx: click.Context, _: click.Parameter, is_quiet: bool) -> None:
    """Note it; before a command is imported, and tqdm with it, which reads the environment then."""
    if is_quiet:
        ctx.meta[QUIET] = True
        os.environ["TQDM_DISABLE"] = "1"


@click.command(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.version_option(package_name="kband", message="%(package)s %(version)s")
@click.option("-v", "--verbose", is_flag=True, help="Tell what the gadgets tell, not only warnings.")
@click.option("-q", "--quiet", is_flag=True, is_eager=True, expose_value=False, callback=_without_progress,
              help="No progress and no warnings: results and errors alone.")  # fmt: skip
@click.pass_context
def main(ctx: click.Context, verbose: bool) -> None:
    """MRI reconstruction in the scanner's own chain: simulate, replay, look, check."""
    level = logging.INFO if verbose else logging.ERROR if ctx.meta.get(QUIET) else logging.WARNING
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s", level=level)
