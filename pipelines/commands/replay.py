"""`kband replay`: raw files in, images out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from pipelines.commands.many_files import cluster_option, resume_option
from pipelines.commands.names import pipeline_names
from pipelines.commands.parameters import parameters_of


def address_of(_: click.Context, __: click.Parameter, text: str | None) -> tuple[str, int] | None:
    """Read HOST:PORT. Raises `BadParameter` for anything else."""
    if text is None:
        return None
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise click.BadParameter(f"'{text}' is no HOST:PORT, such as localhost:9002")
    return host.strip("[]"), int(port)


@click.command()
@click.argument("inputs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="IN.h5|FOLDER...")
@click.option("--pipeline", "-p", default="sense", shell_complete=pipeline_names,
              help="Name of an installed pipeline, or an XML file.")  # fmt: skip
@click.option("--output", "-o", required=True,
              help="Image file (.h5), of other formats a new folder; or folder for it: one that exists, or ends in /.")
@click.option("--format", "form", type=click.Choice(["mrd", "dicom", "nifti", "npy", "cfl"]), default="mrd",
              help="An MRD file, or a folder: of DICOM images, or of volumes for NIfTI, NumPy or BART.")  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Replace image files that exist.")
@click.option("--parameter", "parameters", multiple=True, callback=parameters_of, metavar="GADGET.PROPERTY=VALUE",
              help="Set a property of the pipeline. With --to, only --dialect fire can tell the server.")  # fmt: skip
@click.option("--pace", type=click.Choice(["none", "scanner"]), default="none",
              help="Lines as fast as they are taken, or by their time stamps.")  # fmt: skip
@click.option("--to", "address", callback=address_of, metavar="HOST:PORT",
              help="Send the scans to this MRD server; --pipeline is then a name it knows, or a file.")  # fmt: skip
@click.option("--dialect", type=click.Choice(["gadgetron", "fire"]), default="gadgetron", help="What it speaks.")
@click.option("--deadline", type=click.FloatRange(0.1), default=120.0, help="Give up a server silent for so long, s.")
@cluster_option
@resume_option
@click.option("--verbose", "-v", is_flag=True,
              help="Tell R, calibration lines, coils, and the seconds of each gadget.")  # fmt: skip
@click.pass_context
def replay(ctx: click.Context, verbose: bool, **options: Any) -> None:
    """Reconstruct MRD raw files through PIPELINE, as the scanner would, and write the images.

    Raw files are HDF5 files, the streams (.mrd) of a server's journal, or files of fastMRI, M4Raw or SKM-TEA as
    published; of a folder all that are in it.

    Exits with 1 if any scan failed, lacks lines or images, or got a fallback image; what could be made is written all
    the same.
    """
    if options["address"] and options["cluster"]:
        raise click.UsageError("--to sends scans to a server, --cluster computes on workers; give one of them")
    from pipelines.replay import replay_all  # torch is slow to import

    if replay_all(**options, verbose=verbose or bool(ctx.find_root().params.get("verbose"))):
        raise SystemExit(1)
