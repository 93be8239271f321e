"""`kband stream`: an MRD stream in on standard input, images out on standard output."""

from __future__ import annotations

import os
import sys

import click

from pipelines.commands.names import pipeline_names
from pipelines.commands.parameters import parameters_of


@click.command()
@click.option("--pipeline", "-p", default="sense", shell_complete=pipeline_names,
              help="Name of an installed pipeline, or an XML file.")  # fmt: skip
@click.option("--parameter", "parameters", multiple=True, callback=parameters_of, metavar="GADGET.PROPERTY=VALUE",
              help="Set a property of the pipeline.")  # fmt: skip
def stream(pipeline: str, parameters: dict[str, str]) -> None:
    """Reconstruct one scan from standard input to standard output, both streams of MRD 1, or of MRD 2.

    In come the header, lines and CLOSE, as from Gadgetron's --from_stream, or an MRD 2 stream of mrd-python 2.2.1; out
    go images as they are made, and the end of the stream behind the last. All else is written to standard error.

    Exits with 1 if the scan failed, was cut off, lacks lines or images, or got a fallback image; of a scan that failed
    or was cut off the outgoing stream lacks its end.
    """
    from gadgets.errors import PipelineError, ScanError
    from pipelines.chain.chain import with_properties
    from pipelines.chain.pipeline import load_xml
    from pipelines.chain.xml import read_chain
    from pipelines.hosts import pipe

    outgoing = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever a library prints must not get between the images
    try:
        chain = with_properties(read_chain(load_xml(pipeline)), parameters)
        said = pipe.stream(chain, sys.stdin.buffer.raw, outgoing)
    except BrokenPipeError:
        raise click.ClickException("whoever reads the images has gone") from None
    except (PipelineError, ScanError) as problem:
        raise click.ClickException(str(problem)) from problem
    click.echo(said, err=True)
